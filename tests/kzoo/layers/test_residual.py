"""What happens to a branch before it is added."""

import keras
import numpy as np
import pytest

from kzoo.layers import LayerScale, StochasticDepth
from tests.arrays import to_numpy
from tests.checks import compiled

INPUTS = np.random.default_rng(0).uniform(1.0, 2.0, (2000, 3, 2)).astype("float32")


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    keras.utils.set_random_seed(0)
    layer = StochasticDepth(rate=0.3)
    outputs = to_numpy(layer(INPUTS, training=True))
    kept = (outputs != 0).reshape(len(INPUTS), -1)
    assert (kept.all(axis=1) | ~kept.any(axis=1)).all()
    # Of 2000 draws the standard deviation is 0.01.
    assert abs(kept[:, 0].mean() - 0.7) < 0.04
    np.testing.assert_allclose(outputs[kept[:, 0]], INPUTS[kept[:, 0]] / 0.7, rtol=1e-5)
    again = (to_numpy(layer(INPUTS, training=True)) != 0)[:, 0, 0]
    assert (again != kept[:, 0]).any(), "each call draws anew"


def test_outside_of_training_stochastic_depth_is_the_identity():
    layer = StochasticDepth(rate=0.9)
    np.testing.assert_array_equal(to_numpy(layer(INPUTS)), INPUTS)
    np.testing.assert_array_equal(to_numpy(compiled(layer, {"inputs": INPUTS})), INPUTS)
    np.testing.assert_array_equal(
        to_numpy(StochasticDepth(rate=0.0)(INPUTS, training=True)), INPUTS
    )


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 2), (4, 3, 3, 2)])
def test_stochastic_depth_takes_any_rank(shape):
    inputs = np.ones(shape, "float32")
    outputs = to_numpy(StochasticDepth(rate=0.5)(inputs, training=True))
    assert outputs.shape == shape
    assert set(np.unique(outputs)) <= {0.0, 2.0}


def test_layer_scale_starts_at_its_value():
    outputs = to_numpy(LayerScale(init_value=0.25)(INPUTS))
    np.testing.assert_array_equal(outputs, 0.25 * INPUTS)
