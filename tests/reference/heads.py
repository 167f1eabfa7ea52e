"""Heads."""

import numpy as np

from tests.reference.basics import ACTIVATIONS, Array, Weights, affine, inside
from tests.reference.blocks import layer_norm


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
