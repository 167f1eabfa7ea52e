"""The one additive bias that masks and positions come down to."""

from typing import Any

import keras
import numpy as np

from kzoo.layers.attention.masks import (
    causal_mask,
    combine_masks,
    document_mask,
    expand_mask,
    mask_bias,
    mask_bound,
    unmask_empty_rows,
    window_mask,
)
from kzoo.layers.graph import is_static_graph
from kzoo.layers.types import Position, Tensor


def attention_bias(
    mask: Tensor | None,
    document_ids: Tensor | None,
    position: Position | None,
    causal: bool,
    window: int | None,
    lengths: tuple[Any, Any],
    start: Any,
    soft_cap: float | None,
    dtype: str,
) -> tuple[Tensor | None, bool]:
    """Return what is added to the scores, and whether the kernel is to hide the future itself.

    Kernels that know of causality never make T x S numbers: where it is all there is to know, it is
    left to them.

    Args:
        mask: (B, S) or (B, T, S), or None.
        document_ids: (B, T), or None.
        position: What may add a bias of its own, or None.
        causal: Whether to hide the future.
        window: How far a query sees, or None.
        lengths: T and S.
        start: The place of the first query among the keys; None if queries and keys are the same
            tokens.
        soft_cap: Largest absolute value of a score before biases are added, or None.
        dtype: Floating point dtype of the bias.

    Returns:
        A bias that broadcasts to (B, N, T, S), or None; and what `is_causal` of `attention` is.
    """
    offset = 0 if start is None else start
    added = _position_bias(position, lengths, offset)
    if window is not None and isinstance(lengths[1], int) and window >= lengths[1]:
        window = None
    given = (mask, document_ids, added, window)
    if causal and start is None and all(each is None for each in given):
        return None, True
    combined = combine_masks(
        causal_mask(*lengths, offset) if causal else None,
        window_mask(*lengths, window, offset) if window is not None else None,
        document_mask(document_ids, document_ids) if document_ids is not None else None,
    )
    static = is_static_graph()
    if mask is not None:
        combined = mask if combined is None else combine_masks(combined, expand_mask(mask))
        # A token may always attend to itself, so only a given mask can leave a row empty. In a
        # graph to export the bound lowers all scores of such a row alike.
        combined = combined if static else unmask_empty_rows(combined)
    if combined is None:
        return added, False
    bound = None
    if static:
        bound = mask_bound(0.0 if position is None else position.bias_range(lengths[1]), soft_cap)
    bias = mask_bias(combined, dtype, bound)
    return (bias if added is None else added + keras.ops.cast(bias, added.dtype)), False


def length_of(tensor: Tensor) -> Any:
    """Return the size of axis 1.

    Args:
        tensor: A tensor of at least two axes.

    Returns:
        An integer where it is known, a scalar tensor elsewhere.
    """
    return keras.ops.shape(tensor)[1]


def places(length: Any, start: Any = 0) -> Tensor:
    """Return the places of the tokens of a sequence.

    Args:
        length: T, an integer or a scalar tensor.
        start: The place of the first.

    Returns:
        Integers (T,), a NumPy array where both are known.
    """
    known = isinstance(length, int) and isinstance(start, int)
    return (np if known else keras.ops).arange(length, dtype="int32") + start


def _position_bias(
    position: Position | None, lengths: tuple[Any, Any], offset: Any
) -> Tensor | None:
    """Return the bias of a position between all queries and keys, (1, N or 1, T, S), if any."""
    if position is None:
        return None
    added = position.bias(places(lengths[0], offset), places(lengths[1]))
    if added is None:
        return None
    added = keras.ops.cast(added, "float32")
    return added if len(added.shape) == 4 else keras.ops.expand_dims(added, 0)
