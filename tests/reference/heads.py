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


def max_pooling(weights: Weights, hidden: Array, padding_mask: Array) -> Array:
    rows = [
        row[mask].max(0) if mask.any() else row[0]
        for row, mask in zip(hidden, np.asarray(padding_mask, bool), strict=True)
    ]
    return np.stack(rows)


def first_pooling(weights: Weights, hidden: Array) -> Array:
    return hidden[:, 0]


def next_sentence_head(weights: Weights, pooled: Array) -> Array:
    return affine(inside(weights, "dense"), pooled)


def sentence_order_head(weights: Weights, pooled: Array) -> Array:
    return affine(inside(weights, "dense"), pooled)


def masked_lm_head(
    weights: Weights,
    hidden: Array,
    mask_positions: Array | None = None,
    token_table: Array | None = None,
    *,
    activation: str = "gelu",
) -> Array:
    if mask_positions is not None:
        hidden = np.stack([row[at] for row, at in zip(hidden, mask_positions, strict=True)])
    hidden = ACTIVATIONS[activation](affine(inside(weights, "dense"), hidden))
    kernel = weights["kernel"] if token_table is None else token_table.T
    return layer_norm(inside(weights, "norm"), hidden) @ kernel + weights["bias"]


def replaced_token_head(weights: Weights, hidden: Array, *, activation: str = "gelu") -> Array:
    hidden = ACTIVATIONS[activation](affine(inside(weights, "dense"), hidden))
    return affine(inside(weights, "out"), hidden)[..., 0]


def sequence_classification_head(weights: Weights, pooled: Array) -> Array:
    return affine(inside(weights, "dense"), pooled)


def token_classification_head(weights: Weights, hidden: Array) -> Array:
    return affine(inside(weights, "dense"), hidden)


def span_head(weights: Weights, hidden: Array, padding_mask: Array | None = None) -> Array:
    logits = affine(inside(weights, "dense"), hidden)
    if padding_mask is not None:
        logits[np.asarray(padding_mask) == 0] = -100.0
    return logits
