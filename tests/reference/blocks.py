"""Blocks and what they are made of, attention aside."""

import numpy as np

from tests.reference.attention import multi_head_attention
from tests.reference.basics import ACTIVATIONS, Array, Weights, affine, inside


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


def token_embedding(weights: Weights, token_ids: Array) -> Array:
    return weights["table"][token_ids]


def bert_embedding(weights: Weights, token_ids: Array, segment_ids: Array | None = None) -> Array:
    segment_ids = np.zeros_like(token_ids) if segment_ids is None else segment_ids
    hidden = weights["tokens/table"][token_ids] + weights["segment_table"][segment_ids]
    hidden = hidden + weights["positions/table"][: token_ids.shape[1]]
    return layer_norm(inside(weights, "norm"), hidden)
