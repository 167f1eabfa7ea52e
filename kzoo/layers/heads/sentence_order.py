"""The sentence-order head."""

from typing import Any

import keras

from kzoo.arguments import check_positive_numbers, check_rates
from kzoo.layers.dropout import Dropout
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class SentenceOrderHead(keras.layers.Layer):
    """Scores whether two consecutive segments are in the order of the corpus. Sub-layer: `dense`.

    logits = W dropout(x) + b.

    Args:
        dropout: Dropout rate of the pooled vector.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        pooled: (B, D), from `Pooler`.
        training: Whether dropout is active.

    Call returns:
        Logits (B, 2): 0 is "in order", 1 is "swapped".

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import SentenceOrderHead
        >>> tuple(SentenceOrderHead()(np.ones((3, 8), "float32")).shape)
        (3, 2)

    References:
        Lan et al., ALBERT: A Lite BERT for Self-supervised Learning, 2019, section 3.1.
        https://arxiv.org/abs/1909.11942
    """

    output_kind = "class_logits"

    def __init__(self, dropout: float = 0.0, init_std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_rates(dropout=dropout)
        check_positive_numbers(init_std=init_std)
        self.dropout = dropout
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.pooled_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, pooled_shape: Shape) -> None:
        """Create the dense layer."""
        self.dense = projection(2, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(pooled_shape)

    def call(self, pooled: Tensor, training: bool = False) -> Tensor:
        """Score; see the class."""
        return self.dense(self.pooled_dropout(pooled, training=training))

    def compute_output_shape(self, pooled_shape: Shape) -> Shape:
        """Return (B, 2)."""
        return (pooled_shape[0], 2)
