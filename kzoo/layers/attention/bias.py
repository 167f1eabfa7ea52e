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
    position_bias: Tensor | None,
    causal: bool,
    window: int | None,
    heads: tuple[Tensor, Tensor],
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
        position_bias: What is added to the scores beside, or None.
        causal: Whether to hide the future.
        window: How far a query sees, or None.
        heads: Queries (B, T, N, H) and keys (B, S, K, H).
        start: The place of the first query among the keys; None if queries and keys are the same
            tokens.
        soft_cap: Largest absolute value of a score before biases are added, or None.
        dtype: Floating point dtype of the bias.

    Returns:
        A bias that broadcasts to (B, N, T, S), or None; and what `is_causal` of `attention` is.
    """
    offset = 0 if start is None else start
    lengths = length_of(heads[0]), length_of(heads[1])
    added = _position_bias(position, position_bias, heads, offset)
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
        bound = mask_bound(_bias_range(position, position_bias, lengths[1]), soft_cap)
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
    position: Position | None,
    position_bias: Tensor | None,
    heads: tuple[Tensor, Tensor],
    offset: Any,
) -> Tensor | None:
    """Return what positions add to the scores, (1 or B, 1 or N, T, S), if anything."""
    added = None
    if position is not None:
        query, key = heads
        added = position.bias(places(length_of(query), offset), places(length_of(key)), query, key)
    given = [
        keras.ops.cast(bias if len(bias.shape) == 4 else keras.ops.expand_dims(bias, 0), "float32")
        for bias in (added, position_bias)
        if bias is not None
    ]
    return sum(given[1:], given[0]) if given else None


def _bias_range(position: Position | None, position_bias: Tensor | None, num_keys: Any) -> Any:
    """Return the largest difference between two biases of one row."""
    largest = 0.0 if position is None else position.bias_range(num_keys)
    if position_bias is None:
        return largest
    ops = keras.ops
    position_bias = ops.cast(position_bias, "float32")
    return largest + ops.max(ops.max(position_bias, axis=-1) - ops.min(position_bias, axis=-1))
