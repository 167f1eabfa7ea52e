"""Masks that Keras attaches to tensors, such as those of `keras.layers.Embedding(mask_zero=True)`.

Keras passes an attached mask to the call argument `mask` if the layer is called with one tensor,
and to `<argument>_mask` if it is called with several. A kzoo layer obeys both the mask that it is
called with and the one that is attached. To tell them apart, the first has another name in `call`:
`attention_mask` or `padding_mask`.
"""

import keras

from kzoo.arguments import check_shape
from kzoo.layers.attention.masks import check_mask
from kzoo.layers.types import Tensor


def merge_masks(given: Tensor | None, attached: Tensor | None) -> Tensor | None:
    """Allow what both masks allow.

    Args:
        given: The mask of the call, (B, S) or (B, T, S), or None.
        attached: The mask (B, S) that Keras attached to what is attended to, or None.

    Returns:
        A mask of the rank of the one that is given, or None if both are None.
    """
    if given is None or attached is None or given is attached:
        return attached if given is None else given
    attached = keras.ops.cast(attached, "int32")
    if len(given.shape) == 3:
        attached = keras.ops.expand_dims(attached, 1)
    return keras.ops.multiply(keras.ops.cast(given, "int32"), attached)


def merge_padding_masks(
    hidden: Tensor, padding_mask: Tensor | None, attached: Tensor | None
) -> Tensor | None:
    """Return which positions of hidden states are real.

    Args:
        hidden: (B, T, D).
        padding_mask: Boolean or integer (B, T), the call argument, or None.
        attached: The mask that Keras attached to the hidden states, or None.

    Returns:
        A mask (B, T), or None if both are None.

    Raises:
        ValueError: If a mask has another shape or floating point values.
    """
    sizes = {"B": hidden.shape[0], "T": hidden.shape[1]}
    for name, mask in {"padding_mask": padding_mask, "mask attached by Keras": attached}.items():
        if mask is not None:
            check_mask(mask, name)
            check_shape(name, mask.shape, ("BT",), sizes)
    return merge_masks(padding_mask, attached)


def real_positions(
    hidden: Tensor, padding_mask: Tensor | None, attached: Tensor | None, dtype: str
) -> Tensor | None:
    """Return factors of hidden states: 1 at real positions and 0 at padding.

    Args:
        hidden: (B, T, D).
        padding_mask: As for `merge_padding_masks`.
        attached: As for `merge_padding_masks`.
        dtype: Dtype of the factors.

    Returns:
        (B, T, 1), or None if both masks are None.
    """
    merged = merge_padding_masks(hidden, padding_mask, attached)
    return None if merged is None else keras.ops.expand_dims(keras.ops.cast(merged, dtype), -1)
