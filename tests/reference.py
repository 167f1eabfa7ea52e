"""NumPy oracles in float64: what each layer computes, written from its paper and not from its code.

Every oracle takes the layer's weights by their path inside the layer, then the call arguments.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]

_erf = np.vectorize(math.erf, otypes=[np.float64])

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def inside(weights: Weights, name: str) -> Weights:
    """Return the weights of a sub-layer, by their path inside it."""
    prefix = f"{name}/"
    return {path.removeprefix(prefix): w for path, w in weights.items() if path.startswith(prefix)}


def affine(weights: Weights, inputs: Array) -> Array:
    return inputs @ weights["kernel"] + weights.get("bias", 0.0)


def softmax(scores: Array) -> Array:
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


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


def layer_norm(weights: Weights, inputs: Array, *, epsilon: float = 1e-12) -> Array:
    centred = inputs - inputs.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return centred / deviation * weights["gamma"] + weights["beta"]


def feed_forward(weights: Weights, hidden: Array, *, activation: str = "gelu") -> Array:
    intermediate = ACTIVATIONS[activation](affine(inside(weights, "intermediate"), hidden))
    return affine(inside(weights, "out"), intermediate)


def transformer_block(
    weights: Weights,
    hidden: Array,
    mask: Array | None = None,
    *,
    num_heads: int,
    activation: str = "gelu",
    norm_first: bool = False,
) -> Array:
    def attend(x: Array) -> Array:
        return multi_head_attention(inside(weights, "attention"), x, mask=mask, num_heads=num_heads)

    def feed(x: Array) -> Array:
        return feed_forward(inside(weights, "feed_forward"), x, activation=activation)

    def norm(name: str, x: Array) -> Array:
        return layer_norm(inside(weights, name), x)

    if norm_first:
        hidden = hidden + attend(norm("attention_norm", hidden))
        return hidden + feed(norm("feed_forward_norm", hidden))
    hidden = norm("attention_norm", hidden + attend(hidden))
    return norm("feed_forward_norm", hidden + feed(hidden))


def sinusoidal_positions(
    weights: Weights, hidden: Array, *, max_wavelength: float = 10000.0
) -> Array:
    length, width = hidden.shape[1:]
    table = np.zeros((length, width))
    for time in range(length):
        for i in range(width // 2):
            angle = time / max_wavelength ** (2 * i / width)
            table[time, 2 * i], table[time, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


def learned_positions(weights: Weights, hidden: Array) -> Array:
    return weights["table"][: hidden.shape[1]]


def token_embedding(weights: Weights, token_ids: Array) -> Array:
    return weights["table"][token_ids]


def bert_embedding(weights: Weights, token_ids: Array, segment_ids: Array | None = None) -> Array:
    segment_ids = np.zeros_like(token_ids) if segment_ids is None else segment_ids
    hidden = weights["tokens/table"][token_ids] + weights["segment_table"][segment_ids]
    hidden = hidden + weights["positions/table"][: token_ids.shape[1]]
    return layer_norm(inside(weights, "norm"), hidden)


def pooler(weights: Weights, hidden: Array, *, activation: str = "tanh") -> Array:
    return ACTIVATIONS[activation](affine(inside(weights, "dense"), hidden[:, 0]))


def mean_pooling(weights: Weights, hidden: Array, padding_mask: Array) -> Array:
    rows = [
        row[mask].mean(0) if mask.any() else np.zeros(row.shape[-1])
        for row, mask in zip(hidden, np.asarray(padding_mask, bool), strict=True)
    ]
    return np.stack(rows)


def next_sentence_head(weights: Weights, pooled: Array) -> Array:
    return affine(inside(weights, "dense"), pooled)


def masked_lm_head(
    weights: Weights,
    hidden: Array,
    mask_positions: Array,
    token_table: Array,
    *,
    activation: str = "gelu",
) -> Array:
    masked = np.stack([row[at] for row, at in zip(hidden, mask_positions, strict=True)])
    masked = ACTIVATIONS[activation](affine(inside(weights, "dense"), masked))
    return layer_norm(inside(weights, "norm"), masked) @ token_table.T + weights["bias"]
