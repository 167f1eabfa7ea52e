"""The comparison with the oracles can fail: a layer with any of these mistakes is caught."""

from functools import partial

import pytest

from tests.kzoo.layers.cases import blocks
from tests.kzoo.layers.mistakes import assert_caught
from tests.reference import blocks as reference

MISTAKES = {
    "normalization: the mean removed": (
        "rms_norm",
        lambda weights, inputs: reference.rms_norm(
            weights, inputs - inputs.mean(-1, keepdims=True)
        ),
    ),
    "normalization: no shift": (
        "no_norm",
        lambda weights, inputs: reference.no_norm(
            {**weights, "beta": 0.0 * weights["beta"]}, inputs
        ),
    ),
    "feed_forward: gate and value exchanged": (
        "gated_feed_forward_silu",
        lambda weights, hidden: reference.gated_feed_forward(
            {
                **weights,
                "gate/kernel": weights["intermediate/kernel"],
                "intermediate/kernel": weights["gate/kernel"],
            },
            hidden,
        ),
    ),
    "residual: scaled twice": (
        "layer_scale",
        lambda weights, inputs: reference.layer_scale(weights, weights["scale"] * inputs),
    ),
    "block: the residual normalized first": (
        "block_post",
        partial(blocks.block, norm=reference.no_norm, residual="pre"),
    ),
    "block: one branch after the other": (
        "block_parallel",
        lambda weights, hidden: blocks.block(
            {
                **weights,
                **{
                    f"{branch}_norm/{name}": weights[f"input_norm/{name}"]
                    for branch in ("attention", "feed_forward")
                    for name in ("gamma", "beta")
                },
            },
            hidden,
            residual="pre",
        ),
    ),
    "embedding: not scaled": ("token_embedding_scaled", reference.token_embedding),
    "embedding: tokens in another order": (
        "tied_projection",
        lambda weights, hidden, token_table: reference.tied_projection(
            weights, hidden, token_table[::-1]
        ),
    ),
    "patches: column by column": (
        "patch_embedding",
        lambda weights, images: reference.patch_embedding(
            weights, images.swapaxes(1, 2), patch_size=2
        ),
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_caught(mistake):
    name, broken = MISTAKES[mistake]
    assert_caught(blocks.CASES[name], broken)
