"""The head that classifies every token."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers, check_rates
from kzoo.layers.dropout import Dropout
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class TokenClassificationHead(keras.layers.Layer):
    """Scores the classes of every position. Sub-layer: `dense`.

    logits = W dropout(h) + b.

    Args:
        num_classes: Number of classes, C.
        dropout: Dropout rate of the hidden states.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        training: Whether dropout is active.

    Call returns:
        Logits (B, T, C), at padding too: a loss leaves those out by its sample weights.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import TokenClassificationHead
        >>> tuple(TokenClassificationHead(num_classes=9)(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 9)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 5.3.
        https://arxiv.org/abs/1810.04805
    """

    output_kind = "token_logits"

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
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        self.hidden_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, hidden_shape: Shape) -> None:
        """Create the dense layer."""
        self.dense = projection(self.num_classes, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(hidden_shape)

    def call(self, hidden: Tensor, training: bool = False) -> Tensor:
        """Score; see the class."""
        return self.dense(self.hidden_dropout(hidden, training=training))

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (B, T, C)."""
        return (*hidden_shape[:2], self.num_classes)
