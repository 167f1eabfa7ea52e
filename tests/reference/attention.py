"""Attention."""

import math
from typing import Any

import numpy as np

from tests.reference.basics import Array, Weights, affine, inside, softmax


def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    **scores: Any,
) -> Array:
    """Attend with hard masks; a row without any key is attended to as if it had no mask."""
    weights = attention_weights(query, key, mask, **scores)
    return np.einsum("bnts,bnsh->btnh", weights, _shared(value, query))


def attention_weights(
    query: Array,
    key: Array,
    mask: Array | None = None,
    *,
    score_scale: float | None = None,
    soft_cap: float | None = None,
    bias: Array | None = None,
) -> Array:
    """Return the weights, (B, N, T, S)."""
    scores = np.einsum("btnh,bnsh->bnts", query, _shared(key, query))
    scores = scores * (1 / math.sqrt(query.shape[-1]) if score_scale is None else score_scale)
    if soft_cap is not None:
        scores = soft_cap * np.tanh(scores / soft_cap)
    scores = scores if bias is None else scores + bias
    if mask is not None:
        mask = np.asarray(mask, bool)
        mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        scores = np.where(mask | ~mask.any(-1, keepdims=True), scores, -np.inf)
    return softmax(scores)


def allowed_pairs(
    length: int, *, causal: bool = False, window: int | None = None, documents: Array | None = None
) -> Array:
    """Return which queries may attend to which keys, (1 or B, T, T), one pair at a time."""
    documents = np.zeros((1, length)) if documents is None else documents
    allowed = np.zeros((len(documents), length, length), bool)
    for row, t, s in np.ndindex(*allowed.shape):
        past = s <= t or not causal
        near = window is None or -window < s - t < window
        allowed[row, t, s] = past and near and documents[row, t] == documents[row, s]
    return allowed


def multi_head_attention(
    weights: Weights,
    query: Array,
    context: Array | None = None,
    mask: Array | None = None,
    document_ids: Array | None = None,
    position_bias: Array | None = None,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    causal: bool = False,
    window: int | None = None,
    score_scale: float | None = None,
    soft_cap: float | None = None,
) -> Array:
    """Attend; queries and keys are normalized and values gated where there are weights for it."""
    context = query if context is None else context

    def heads(name: str, inputs: Array, count: int) -> Array:
        projected = affine(inside(weights, name), inputs)
        split = projected.reshape(*projected.shape[:2], count, -1)
        gamma = weights.get(f"{name}_norm/gamma")
        if gamma is None:
            return split
        return split / np.sqrt((split**2).mean(-1, keepdims=True) + 1e-6) * gamma

    num_kv_heads = num_kv_heads or num_heads
    if causal or window is not None or document_ids is not None:
        pairs = allowed_pairs(
            query.shape[1], causal=causal, window=window, documents=document_ids
        ).repeat(1 if document_ids is not None else len(query), axis=0)
        given = np.ones_like(pairs) if mask is None else np.asarray(mask, bool)
        mask = pairs & (given[:, None, :] if given.ndim == 2 else given)
    attended = attention(
        heads("query", query, num_heads),
        heads("key", context, num_kv_heads),
        heads("value", context, num_kv_heads),
        mask,
        score_scale=score_scale,
        soft_cap=soft_cap,
        bias=position_bias,
    ).reshape(*query.shape[:2], -1)
    if "gate/kernel" in weights:
        attended = attended / (1 + np.exp(-affine(inside(weights, "gate"), query)))
    return affine(inside(weights, "out"), attended)


def _shared(heads: Array, query: Array) -> Array:
    """Give each head of the query its head of the keys or values, (B, N, S, H)."""
    groups = query.shape[2] // heads.shape[2]
    return np.stack([heads[:, :, n // groups] for n in range(query.shape[2])], axis=1)
