"""Losses beside those of Keras."""

import keras
import numpy as np
import pytest

from kzoo.tasks import TokenCrossentropy
from tests.arrays import to_numpy


@pytest.mark.parametrize("shape", [(4,), (4, 3)])
def test_numbers_are_those_of_keras(shape):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (*shape, 11)).astype("float32")
    labels = random.integers(0, 11, shape).astype("int32")
    weights = random.integers(0, 2, shape).astype("float32")
    reference = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    loss = TokenCrossentropy.from_config(TokenCrossentropy().get_config())
    expected = to_numpy(reference(labels, logits, sample_weight=weights))
    found = to_numpy(loss(labels, logits, sample_weight=weights))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert float(expected) > 1


def test_large_logits_are_no_infinity():
    logits = np.array([[500.0, -500.0]], "float32")
    loss = TokenCrossentropy()(np.array([1], "int32"), logits)
    np.testing.assert_allclose(to_numpy(loss), 1000.0, rtol=1e-6)
