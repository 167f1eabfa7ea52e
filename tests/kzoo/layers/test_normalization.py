"""Normalizations beside PyTorch's, and where numbers are at their limits."""

import keras
import numpy as np
import pytest

from kzoo.layers import LayerNorm, NoNorm, RMSNorm
from kzoo.layers.normalization import NORMS
from tests.arrays import to_numpy
from tests.checks import randomize

INPUTS = np.random.default_rng(0).normal(2.0, 3.0, (4, 6, 16)).astype("float32")


@pytest.mark.once
@pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm"])
@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_block_equals_pytorch(name, epsilon):
    import torch

    layer = {"LayerNorm": LayerNorm, "RMSNorm": RMSNorm}[name](epsilon)
    layer.build(INPUTS.shape)
    randomize(layer)
    theirs = getattr(torch.nn, name)(INPUTS.shape[-1], eps=epsilon)
    with torch.no_grad():
        for ours, parameter in zip(layer.weights, theirs.parameters(), strict=True):
            parameter.copy_(torch.from_numpy(to_numpy(ours).copy()))
        expected = theirs(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(to_numpy(layer(INPUTS)), expected, atol=1e-5)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_large_numbers_stay_finite_in_half_precision(name, dtype):
    layer = NORMS[name](1e-12, dtype=dtype)
    inputs = np.float32(1e4) * np.sign(INPUTS)  # squares are beyond float16
    outputs = to_numpy(keras.ops.cast(layer(inputs), "float32"))
    assert np.isfinite(outputs).all()
    if name == "rms_norm":
        np.testing.assert_allclose(outputs, np.sign(INPUTS), atol=1e-2)


@pytest.mark.parametrize("name", NORMS)
def test_zeros_and_empty_batches(name):
    layer = NORMS[name](1e-12)
    assert (to_numpy(layer(0 * INPUTS)) == 0).all()
    assert layer(INPUTS[:0]).shape == (0, 6, 16)


def test_no_norm_starts_as_the_identity():
    np.testing.assert_array_equal(to_numpy(NoNorm()(INPUTS)), INPUTS)


def test_rms_norm_ignores_scale_of_inputs():
    layer = RMSNorm(epsilon=1e-12)
    expected = to_numpy(layer(INPUTS))
    np.testing.assert_allclose(to_numpy(layer(100 * INPUTS)), expected, atol=1e-5)
    assert np.abs(to_numpy(layer(INPUTS + 100)) - expected).max() > 0.1, "there is no mean in it"
