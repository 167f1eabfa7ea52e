"""Masks as additive biases."""

import keras

from kzoo.layers.types import Tensor

MASK_BIAS = -100.0
"""What is added to the score of a masked key.

exp(-100) is 4e-44: nothing, beside any real score. It is bounded because an integer graph gives
all scores one quantization step: with -1e9 that step is in the millions and erases every real
score, and -inf has no step at all. A row whose keys are all masked stays finite: every score moves
by the same amount, so its weights are those of the same row without a mask.
"""


def mask_bias(mask: Tensor, dtype: str) -> Tensor:
    """Turn an attention mask into the bias that is added to the scores.

    Args:
        mask: Boolean or integer mask, True or 1 for keys that may be attended to:
            (B, S) for all queries alike, or (B, T, S).
        dtype: Floating point dtype of the bias.

    Returns:
        The bias: (B, 1, 1, S) or (B, 1, T, S), 0 where the mask is True, `MASK_BIAS` elsewhere.

    Raises:
        ValueError: If the mask has another rank.
    """
    if len(mask.shape) not in (2, 3):
        raise ValueError(
            f"`mask` must have shape (B, S) or (B, T, S). Received: mask.shape={tuple(mask.shape)}"
        )
    bias = (keras.ops.cast(mask, dtype) - 1.0) * -MASK_BIAS
    return keras.ops.expand_dims(bias, (1, 2) if len(mask.shape) == 2 else 1)
