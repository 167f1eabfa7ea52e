"""The head that finds a span."""

from typing import Any

import keras

from kzoo.arguments import check_positive_numbers, check_rates
from kzoo.layers.dropout import Dropout
from kzoo.layers.keras_masks import real_positions
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor

PADDING_LOGIT = -100.0
"""The logit of padding: exp(-100) = 4e-44."""


@serializable
class SpanHead(keras.layers.Layer):
    """Scores every position as the start and as the end of a span. Sub-layer: `dense`.

    logits = W dropout(h) + b. Where a padding mask is given, the logits of padding are -100,
    whatever is computed there: far below those of a trained head, so that a softmax over the
    positions gives padding nothing, yet an integer graph keeps a fine quantization step.

    Args:
        dropout: Dropout rate of the hidden states.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        padding_mask: Boolean or integer (B, T), True for real positions. None for no padding but
            that of a mask that Keras attached to `hidden`.
        training: Whether dropout is active.

    Call returns:
        Logits (B, T, 2): of the start and of the end.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import SpanHead
        >>> tuple(SpanHead()(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 2)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 4.2.
        https://arxiv.org/abs/1810.04805
    """

    output_kind = "span_logits"

    def __init__(self, dropout: float = 0.0, init_std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_rates(dropout=dropout)
        check_positive_numbers(init_std=init_std)
        self.dropout = dropout
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        self.hidden_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, hidden_shape: Shape, padding_mask_shape: Shape | None = None) -> None:
        """Create the dense layer."""
        self.dense = projection(2, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(hidden_shape)

    def call(
        self,
        hidden: Tensor,
        padding_mask: Tensor | None = None,
        training: bool = False,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
    ) -> Tensor:
        """Score; see the class."""
        logits = self.dense(self.hidden_dropout(hidden, training=training))
        attached = mask if hidden_mask is None else hidden_mask
        real = real_positions(hidden, padding_mask, attached, logits.dtype)  # (B, T, 1)
        if real is None:
            return logits
        return logits * real + (1.0 - real) * PADDING_LOGIT

    def compute_output_shape(
        self, hidden_shape: Shape, padding_mask_shape: Shape | None = None
    ) -> Shape:
        """Return (B, T, 2)."""
        return (*hidden_shape[:2], 2)
