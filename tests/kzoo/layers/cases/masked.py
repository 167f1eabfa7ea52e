"""Attention over 512 tokens with every position and every kind of mask."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from kzoo.layers import AlibiBias, MultiHeadAttention, RelativeBias, RotaryPositions
from tests.arrays import Inputs
from tests.checks import named_weights
from tests.reference import positions as reference
from tests.reference.basics import Array

B, T, N, D, WINDOW = 2, 512, 8, 32, 64
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
PADDING = np.arange(T) >= np.array([[300], [T]])  # left padding; the second row has no real token
PAIRS = random.random((B, T, T)) < 0.02
PAIRS[:, :, 0] |= np.arange(T) == T - 1  # the last query has a key, at the largest distance
DOCUMENTS = np.sort(random.integers(0, 4, (B, T)), axis=1).astype("int32")

POSITIONS: dict[str, tuple[Callable[..., Any] | None, dict[str, Any]]] = {
    "none": (None, {}),
    "rotary": (RotaryPositions, {"rotate": reference.rotary_positions}),
    "alibi": (partial(AlibiBias, N), {"bias": partial(reference.alibi_bias, num_heads=N)}),
    "relative": (
        partial(RelativeBias, N),
        {"bias": partial(reference.relative_bias, num_buckets=32, max_distance=128)},
    ),
}


class Mask(NamedTuple):
    """Arguments of the layer, of its call, and the pairs that both leave."""

    layer: dict[str, Any]
    call: Inputs
    pairs: Array


QUERIES, KEYS = np.indices((1, T, T))[1:]
CAUSAL, NEAR = KEYS <= QUERIES, abs(KEYS - QUERIES) < WINDOW
SAME_DOCUMENT = DOCUMENTS[:, :, None] == DOCUMENTS[:, None, :]
MASKS = {
    "padding": Mask({}, {"mask": PADDING}, PADDING[:, None].repeat(T, axis=1)),
    "pairs": Mask({}, {"mask": PAIRS}, PAIRS),
    "causal": Mask({"causal": True}, {}, CAUSAL),
    "window": Mask({"window": WINDOW}, {}, NEAR),
    "documents": Mask({}, {"document_ids": DOCUMENTS}, SAME_DOCUMENT),
    "everything": Mask(
        {"causal": True, "window": WINDOW},
        {"mask": PADDING, "document_ids": DOCUMENTS},
        CAUSAL & NEAR & SAME_DOCUMENT & PADDING[:, None],
    ),
}


def make(position: str, mask: str, largest_score: float, **arguments: Any) -> MultiHeadAttention:
    """Return a layer whose scores, without biases, are of the given size at the most."""
    part = POSITIONS[position][0]
    layer = MultiHeadAttention(
        N, position=part and part(name="position"), **MASKS[mask].layer, **arguments
    )
    layer.build(HIDDEN.shape)
    weights = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        deviation = 5.0 if variable.name == "table" else variable.shape[0] ** -0.5
        variable.assign(weights.normal(0, deviation, variable.shape))
    scale = (largest_score / _largest_score(layer)) ** 0.5
    for part in (layer.query, layer.key):
        for variable in part.weights:
            variable.assign(variable * scale)
    return layer


def expected(layer: MultiHeadAttention, position: str, mask: str) -> Array:
    """Return what the layer must compute, in float64."""
    return reference.attention_with_positions(
        named_weights(layer),
        HIDDEN.astype("float64"),
        num_heads=N,
        causal=False,
        mask=MASKS[mask].pairs,
        **POSITIONS[position][1],
    )


def _largest_score(layer: MultiHeadAttention) -> float:
    weights = named_weights(layer)
    query, key = (
        (HIDDEN @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]).reshape(B, T, N, -1)
        for name in ("query", "key")
    )
    scores = np.einsum("btnh,bsnh->bnts", query, key) / query.shape[-1] ** 0.5
    return float(np.abs(scores).max())
