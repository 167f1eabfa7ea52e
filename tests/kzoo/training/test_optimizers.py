"""AdamW beside PyTorch's."""

import keras
import numpy as np
import pytest

from kzoo.training import AdamW
from tests.arrays import to_numpy

RATE, DECAY, EPSILON = 0.01, 0.1, 1e-3


def steps(weights, gradients):
    """Yield the weights after each step, by arithmetic in float64."""
    weights = {name: weight.astype("float64") for name, weight in weights.items()}
    averages = dict.fromkeys(weights, (0.0, 0.0))
    for step, given in enumerate(gradients, 1):
        for name, gradient in given.items():
            average, square = averages[name]
            average = 0.9 * average + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            averages[name] = average, square
            root = (square / (1 - 0.999**step)) ** 0.5
            decay = DECAY if weights[name].ndim > 1 else 0.0
            change = average / (1 - 0.9**step) / (root + EPSILON) + decay * weights[name]
            weights[name] = weights[name] - RATE * change
        yield weights


def test_steps_and_decay_of_matrices_alone():
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(size=(4, 3)).astype("float32"),
        "gamma": random.normal(size=(3,)).astype("float32"),
    }
    gradients = [
        {name: 1e-3 * random.normal(size=weight.shape) for name, weight in weights.items()}
        for _ in range(5)
    ]
    variables = {name: keras.Variable(weight) for name, weight in weights.items()}
    optimizer = AdamW(RATE, DECAY, epsilon=EPSILON)
    optimizer.build(list(variables.values()))
    for given, expected in zip(gradients, steps(weights, gradients), strict=True):
        pairs = [
            (keras.ops.convert_to_tensor(given[name].astype("float32")), variables[name])
            for name in variables
        ]
        optimizer.apply_gradients(pairs)
        for name, weight in expected.items():
            np.testing.assert_allclose(to_numpy(variables[name]), weight, rtol=2e-6, atol=1e-7)


def test_rows_that_are_looked_up_twice():
    """The gradient of a row is the sum over its lookups, and so is what is squared."""
    table = keras.layers.Embedding(3, 2, embeddings_initializer="zeros")
    model = keras.Sequential([keras.Input((3,), dtype="int32"), table, keras.layers.Flatten()])
    model.compile(AdamW(0.1, weight_decay=0.0), loss="mse")
    goal = np.array([[-1, -1, -1, -2, -3, -3]], "float32")
    for _ in range(2):
        model.train_on_batch(np.array([[0, 0, 1]]), goal)
    weights = {"table": np.zeros((3, 2))}
    expected = weights["table"]
    averages = np.zeros((2, 3, 2))
    for step in (1, 2):
        gradient = np.zeros((3, 2))
        for row, target in zip((0, 0, 1), goal.reshape(3, 2), strict=True):
            gradient[row] += (expected[row] - target) / 3  # 2 / 6 elements
        averages[0] = 0.9 * averages[0] + 0.1 * gradient
        averages[1] = 0.999 * averages[1] + 0.001 * gradient**2
        root = (averages[1] / (1 - 0.999**step)) ** 0.5
        expected = expected - 0.1 * averages[0] / (1 - 0.9**step) / (root + 1e-8)
    np.testing.assert_allclose(to_numpy(table.embeddings), expected, rtol=1e-5)


def test_config_and_refusals():
    optimizer = AdamW(RATE, DECAY, epsilon=EPSILON, clipnorm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, AdamW)
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(ValueError, match="`amsgrad` must be False"):
        AdamW(amsgrad=True)
