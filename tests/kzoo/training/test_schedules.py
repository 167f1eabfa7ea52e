"""Learning rates by step."""

import keras
import numpy as np
import pytest

from kzoo.training import AdamW, WarmupLinearDecay
from tests.arrays import to_numpy


@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_rates_are_those_of_transformers(warmup):
    schedule = WarmupLinearDecay(0.3, total_steps=20, warmup_steps=warmup)
    # The formula of `get_linear_schedule_with_warmup`.
    expected = [
        0.3 * (step / max(1, warmup) if step < warmup else max(0, 20 - step) / (20 - warmup))
        for step in range(25)
    ]
    rates = [float(schedule(keras.ops.convert_to_tensor(step))) for step in range(25)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-9)


def test_optimizers_use_it():
    weight = keras.Variable([[1.0]])
    optimizer = AdamW(WarmupLinearDecay(0.5, 4, 2), weight_decay=0.0)
    optimizer.build([weight])
    found = []
    for _ in range(4):
        optimizer.apply_gradients([(keras.ops.ones((1, 1)), weight)])
        found.append(float(to_numpy(weight)[0, 0]))
    # A constant gradient changes a weight by the rate.
    # Within the rounding of 1 - beta_2 to float32.
    np.testing.assert_allclose(found, [1.0, 0.75, 0.25, 0.0], atol=2e-5)


def test_config_and_refusals():
    schedule = WarmupLinearDecay(0.5, 4, 2)
    again = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule), custom_objects=None
    )
    assert again.get_config() == schedule.get_config()
    for arguments, message in (
        ((0.0, 4), "`peak` must be"),
        ((0.1, 0), "`total_steps` must be"),
        ((0.1, 4, -1), "`warmup_steps` must be"),
        ((0.1, 4, 4), "`warmup_steps` must be below `total_steps`, 4. Received: warmup_steps=4"),
    ):
        with pytest.raises(ValueError, match=message):
            WarmupLinearDecay(*arguments)
