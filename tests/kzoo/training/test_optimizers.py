"""AdamW beside PyTorch's."""

import keras
import numpy as np
import pytest

import kzoo
from kzoo.training import AdamW, layer_rates
from tests.arrays import to_numpy
from tests.kzoo.models.tiny import tiny_backbone

RATE, DECAY, EPSILON = 0.01, 0.1, 1e-3
EXPECTED = {"/embedding/": 0.125, "/block_0/": 0.25, "/block_1/": 0.5}


def steps(weights, gradients, rates=None):
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
            weights[name] = weights[name] - (rates or {}).get(name, 1.0) * RATE * change
        yield weights


@pytest.mark.parametrize("rates", [None, {"kernel": 0.25, "gamma": 0.5}])
def test_steps_and_decay_of_matrices_alone(rates):
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(size=(4, 3)).astype("float32"),
        "gamma": random.normal(size=(3,)).astype("float32"),
    }
    gradients = [
        {name: 1e-3 * random.normal(size=weight.shape) for name, weight in weights.items()}
        for _ in range(5)
    ]
    variables = {name: keras.Variable(weight, name=name) for name, weight in weights.items()}
    factors = rates and {variables[name].path: rate for name, rate in rates.items()}
    optimizer = AdamW(RATE, DECAY, epsilon=EPSILON, rates=factors)
    optimizer.build(list(variables.values()))
    for given, expected in zip(gradients, steps(weights, gradients, rates), strict=True):
        # The gradient of the kernel has the strides of its transpose in PyTorch.
        tensors = {name: keras.ops.convert_to_tensor(given[name], "float32") for name in variables}
        transposed = keras.ops.convert_to_tensor(given["kernel"].T.copy(), "float32")
        tensors["kernel"] = keras.ops.transpose(transposed)
        pairs = [(tensors[name], variables[name]) for name in variables]
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


def test_rates_of_earlier_layers_are_lower():
    backbone = tiny_backbone()
    model = kzoo.tasks.TextClassifier(backbone, ["a", "b"], length=16)
    rates = layer_rates(model, 0.5)
    assert {weight.path: rates.get(weight.path, 1.0) for weight in model.trainable_weights} == {
        weight.path: next(
            (rate for part, rate in EXPECTED.items() if part in f"/{weight.path}"), 1.0
        )
        for weight in model.trainable_weights
    }
    optimizer = AdamW(0.1, rates=rates)
    assert AdamW.from_config(optimizer.get_config()).rates == rates
    # One step of Adam moves each weight by its rate, or not at all.
    before = [to_numpy(weight) for weight in model.trainable_weights]
    model.compile(AdamW(1e-3, weight_decay=0.0, rates=rates), kzoo.tasks.TokenCrossentropy())
    inputs = {name: np.ones((4, 8), "int32") for name in model.input}
    model.train_on_batch(inputs, np.array([0, 1, 0, 0]))
    for old, weight in zip(before, model.trainable_weights, strict=True):
        moved = np.abs(to_numpy(weight) - old).max()
        assert moved <= 1.01e-3 * rates.get(weight.path, 1.0)
        assert moved > 0.5e-3 * rates.get(weight.path, 1.0) or "key/bias" in weight.path


@pytest.mark.once
def test_wrong_rates():
    variable = keras.Variable(np.ones((2, 2)), name="kernel")
    with pytest.raises(ValueError, match=r"`rates` must have paths of weights, .* Received: 'x'"):
        AdamW(rates={"x": 1.0}).build([variable])
    with pytest.raises(ValueError, match="must be a positive number"):
        AdamW(rates={"kernel": 0.0})
    with pytest.raises(ValueError, match="`decay` must be at most 1"):
        layer_rates(tiny_backbone(), 1.5)
    inputs = keras.Input((2,))
    with pytest.raises(ValueError, match="`model` must have blocks"):
        layer_rates(keras.Model(inputs, keras.layers.Dense(2)(inputs)), 0.5)
