"""Feed-forward networks: their weights, and where dropout acts."""

import keras
import numpy as np
import pytest

from kzoo.layers import FeedForward, GatedFeedForward
from tests.arrays import to_numpy

HIDDEN = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
KINDS = (FeedForward, GatedFeedForward)


@pytest.mark.parametrize("kind", KINDS)
def test_biases_are_a_choice(kind):
    paths = {}
    for use_bias in (True, False):
        layer = kind(12, use_bias=use_bias)
        layer(HIDDEN)
        paths[use_bias] = [weight.path for weight in layer.weights]
    assert all(path.endswith("kernel") for path in paths[False])
    assert len(paths[True]) == 2 * len(paths[False])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_between_the_maps(kind):
    keras.utils.set_random_seed(0)
    layer = kind(4, dropout=0.9, use_bias=True, init_std=1.0)
    layer.build(HIDDEN.shape)
    layer.out.bias.assign(np.full(8, 7.0))
    outputs = to_numpy(layer(HIDDEN, training=True))
    assert (outputs != 0).all(), "the result is not dropped"
    # All four inner channels of a position are dropped two times out of three.
    assert (outputs == 7).all(axis=-1).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 5, 8), (2, 1, 8)])
def test_empty_batches_and_single_positions(kind, shape):
    assert kind(12)(np.ones(shape, "float32")).shape == shape


@pytest.mark.once
@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
def test_block_equals_pytorch(activation):
    import torch

    layer = GatedFeedForward(12, activation, init_std=0.5)
    ours = to_numpy(layer(HIDDEN))
    gate, intermediate, out = (torch.from_numpy(to_numpy(w).T.copy()) for w in layer.weights)
    linear, hidden = torch.nn.functional.linear, torch.from_numpy(HIDDEN)
    gated = getattr(torch.nn.functional, activation)(linear(hidden, gate))
    theirs = linear(gated * linear(hidden, intermediate), out).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
