"""The head that classifies whole sequences."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers, check_rates
from kzoo.layers.dropout import Dropout
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class SequenceClassificationHead(keras.layers.Layer):
    """Scores the classes of a sequence from its one vector. Sub-layer: `dense`.

    logits = W dropout(x) + b.

    Args:
        num_classes: Number of classes, C; 1 for a regression.
        dropout: Dropout rate of the pooled vector.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        pooled: (B, D), from `Pooler` or `MeanPooling`.
        training: Whether dropout is active.

    Call returns:
        Logits (B, C).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import SequenceClassificationHead
        >>> tuple(SequenceClassificationHead(num_classes=4)(np.ones((3, 8), "float32")).shape)
        (3, 4)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 4.1.
        https://arxiv.org/abs/1810.04805
    """

    output_kind = "class_logits"

    def __init__(
        self, num_classes: int, dropout: float = 0.0, init_std: float = 0.02, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(num_classes=num_classes)
        check_rates(dropout=dropout)
        check_positive_numbers(init_std=init_std)
        self.num_classes = num_classes
        self.dropout = dropout
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.pooled_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, pooled_shape: Shape) -> None:
        """Create the dense layer."""
        self.dense = projection(self.num_classes, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(pooled_shape)

    def call(self, pooled: Tensor, training: bool = False) -> Tensor:
        """Score; see the class."""
        return self.dense(self.pooled_dropout(pooled, training=training))

    def compute_output_shape(self, pooled_shape: Shape) -> Shape:
        """Return (B, C)."""
        return (pooled_shape[0], self.num_classes)
