"""Blocks and what they are made of, attention aside."""

from collections.abc import Callable

import numpy as np

from tests.reference.basics import ACTIVATIONS, Array, Weights, affine, inside

Oracle = Callable[..., Array]


def layer_norm(weights: Weights, inputs: Array, *, epsilon: float = 1e-12) -> Array:
    centered = inputs - inputs.mean(-1, keepdims=True)
    deviation = np.sqrt((centered**2).mean(-1, keepdims=True) + epsilon)
    return centered / deviation * weights["gamma"] + weights.get("beta", 0.0)


def rms_norm(weights: Weights, inputs: Array, *, epsilon: float = 1e-6) -> Array:
    return inputs / np.sqrt((inputs**2).mean(-1, keepdims=True) + epsilon) * weights["gamma"]


def no_norm(weights: Weights, inputs: Array) -> Array:
    return inputs * weights["gamma"] + weights["beta"]


def layer_scale(weights: Weights, inputs: Array) -> Array:
    return inputs * weights["scale"]


def stochastic_depth(weights: Weights, inputs: Array) -> Array:
    """Leave the inputs alone, as outside of training."""
    return inputs


def feed_forward(weights: Weights, hidden: Array, *, activation: str = "gelu") -> Array:
    intermediate = ACTIVATIONS[activation](affine(inside(weights, "intermediate"), hidden))
    return affine(inside(weights, "out"), intermediate)


def gated_feed_forward(weights: Weights, hidden: Array, *, activation: str = "silu") -> Array:
    gate = ACTIVATIONS[activation](affine(inside(weights, "gate"), hidden))
    return affine(inside(weights, "out"), gate * affine(inside(weights, "intermediate"), hidden))


def transformer_block(
    weights: Weights,
    hidden: Array,
    mask: Array | None = None,
    context: Array | None = None,
    context_mask: Array | None = None,
    position_bias: Array | None = None,
    *,
    attend: Oracle,
    feed: Oracle = feed_forward,
    norm: Oracle = layer_norm,
    residual: str = "post",
) -> Array:
    """Join the oracles of the parts; what enters and leaves a branch goes by the weights' names."""

    def maybe(oracle: Oracle, name: str, x: Array) -> Array:
        found = inside(weights, name)
        return oracle(found, x) if found else x

    def branch(name: str, oracle: Oracle, x: Array, **inputs: Array | None) -> Array:
        x = maybe(norm, f"{name}_out_norm", oracle(inside(weights, name), x, **inputs))
        return maybe(layer_scale, f"{name}_scale", x)

    branches: list[tuple[str, Oracle, dict[str, Array | None]]] = [
        ("attention", attend, {"mask": mask, "position_bias": position_bias}),
        ("cross_attention", attend, {"context": context, "mask": context_mask}),
        ("feed_forward", feed, {}),
    ]
    if context is None:
        del branches[1]
    if residual == "parallel":
        normed = norm(inside(weights, "input_norm"), hidden)
        return hidden + sum(branch(name, oracle, normed, **i) for name, oracle, i in branches)
    for name, oracle, inputs in branches:
        norm_weights = inside(weights, f"{name}_norm")
        if residual == "post":
            hidden = norm(norm_weights, hidden + branch(name, oracle, hidden, **inputs))
        else:
            hidden = hidden + branch(name, oracle, norm(norm_weights, hidden), **inputs)
    return hidden


def token_embedding(weights: Weights, token_ids: Array, *, scale: float = 1.0) -> Array:
    return weights["table"][token_ids] * scale


def tied_projection(weights: Weights, hidden: Array, token_table: Array) -> Array:
    return np.einsum("btd,vd->btv", hidden, token_table) + weights.get("bias", 0.0)


def patch_embedding(weights: Weights, images: Array, *, patch_size: int) -> Array:
    """Cut the patches out one by one."""
    p, (height, width) = patch_size, images.shape[1:3]
    patches = [
        images[:, row : row + p, column : column + p].reshape(len(images), -1)
        for row in range(0, height, p)
        for column in range(0, width, p)
    ]
    return affine(inside(weights, "dense"), np.stack(patches, axis=1))


def bert_embedding(
    weights: Weights,
    token_ids: Array,
    segment_ids: Array | None = None,
    *,
    position_start: int = 0,
) -> Array:
    segment_ids = np.zeros_like(token_ids) if segment_ids is None else segment_ids
    hidden = weights["tokens/table"][token_ids]
    if "segment_table" in weights:
        hidden = hidden + weights["segment_table"][segment_ids]
    hidden = hidden + weights["positions/table"][position_start:][: token_ids.shape[1]]
    hidden = layer_norm(inside(weights, "norm"), hidden)
    if "projection/kernel" in weights:
        hidden = hidden @ weights["projection/kernel"] + weights["projection/bias"]
    return hidden
