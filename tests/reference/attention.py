"""Attention."""

import math

import numpy as np

from tests.reference.basics import Array, Weights, affine, inside, softmax


def attention(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """Attend with hard masks; a row without any key is attended to as if it had no mask."""
    scores = np.einsum("btnh,bsnh->bnts", query, key) / math.sqrt(query.shape[-1])
    if mask is not None:
        mask = np.asarray(mask, bool)
        mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None, :, :]
        empty = ~mask.any(-1, keepdims=True)
        scores = np.where(mask | empty, scores, -np.inf)
    return np.einsum("bnts,bsnh->btnh", softmax(scores), value)


def multi_head_attention(
    weights: Weights,
    query: Array,
    context: Array | None = None,
    mask: Array | None = None,
    *,
    num_heads: int,
) -> Array:
    context = query if context is None else context

    def heads(name: str, inputs: Array) -> Array:
        projected = affine(inside(weights, name), inputs)
        return projected.reshape(*projected.shape[:2], num_heads, -1)

    attended = attention(
        heads("query", query), heads("key", context), heads("value", context), mask
    )
    return affine(inside(weights, "out"), attended.reshape(*attended.shape[:2], -1))
