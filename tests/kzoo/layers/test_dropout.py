"""Dropout with half the random numbers: as many zeros as asked for, independent of each other."""

import keras
import numpy as np
import pytest

from kzoo.layers.dropout import Dropout
from tests.arrays import to_numpy

SHAPE = (64, 128, 65)


@pytest.mark.parametrize("rate", [0.004, 0.1, 0.25, 0.9])
def test_share_and_size(rate):
    keras.utils.set_random_seed(0)
    output = to_numpy(Dropout(rate)(np.ones(SHAPE, "float32"), training=True))
    kept = output != 0
    np.testing.assert_allclose(output[kept], 1 / (1 - rate), rtol=1e-6)
    error = np.sqrt(rate * (1 - rate) / output.size)
    # Three standard errors, and the step of the coarser half.
    assert abs(1 - rate - kept.mean()) < 3 * error + 1 / 4096


def test_elements_are_independent_of_each_other():
    keras.utils.set_random_seed(0)
    dropout = Dropout(0.5)
    first, second = (
        to_numpy(dropout(np.ones(SHAPE, "float32"), training=True)).ravel() - 1 for _ in range(2)
    )
    half = first.size // 2
    pairs = [(first[:half], first[-half:]), (first[:-1], first[1:]), (first, second)]
    for one, other in pairs:
        assert abs((one * other).mean()) < 4 / np.sqrt(one.size)


def test_seed_and_inference():
    inputs = np.ones((3, 5), "float32")
    outputs = [to_numpy(Dropout(0.5, seed=7)(inputs, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(to_numpy(Dropout(0.5)(inputs)), inputs)
