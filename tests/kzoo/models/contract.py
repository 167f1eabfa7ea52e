"""What every backbone must do."""

import pathlib
from typing import Any

import keras
import numpy as np

import kzoo

# Shifts every score of a query alike, which softmax cancels: its gradient is rounding noise.
NO_GRADIENT = "attention/key/bias"


def check_backbone(backbone: keras.Model, folder: pathlib.Path, **outputs: tuple[Any, ...]) -> None:
    """Check a small backbone, with `max_length` of at least 12, on the running backend.

    `outputs` are the shapes of what it returns beside `hidden`.
    """
    randomize(backbone)
    inputs = example_inputs(backbone.config.vocab_size)
    inputs = {name: inputs[name] for name in backbone.input}
    check_outputs(backbone, inputs, outputs)
    check_padding(backbone, inputs)
    check_file(backbone, inputs, folder)
    check_half_precision(backbone, inputs)
    check_training(backbone, inputs)


def check_outputs(
    backbone: keras.Model, inputs: dict[str, np.ndarray], expected: dict[str, Any]
) -> None:
    config = backbone.config
    names = ["token_ids", "segment_ids", "padding_mask"]
    assert list(backbone.input) == [name for name in names if name in backbone.input]
    assert {tensor.dtype for tensor in backbone.inputs} == {"int32"}
    assert {tensor.shape for tensor in backbone.inputs} == {(None, None)}
    assert backbone.count_params() == config.num_parameters
    shapes = {"hidden": (None, None, config.hidden_dim), **expected}
    assert {name: tensor.shape for name, tensor in backbone.output.items()} == shapes
    outputs = predict(backbone, inputs)
    rows, length = inputs["token_ids"].shape
    assert outputs["hidden"].shape == (rows, length, config.hidden_dim)
    assert {output.dtype for output in outputs.values()} == {np.dtype("float32")}


def check_padding(backbone: keras.Model, inputs: dict[str, np.ndarray]) -> None:
    """More padding, whatever ids are in it, changes nothing at real positions."""
    expected = predict(backbone, inputs)["hidden"]
    fill = {"token_ids": 3, "segment_ids": 1, "padding_mask": 0}
    padded = {
        name: np.pad(array, ((0, 0), (0, 4)), constant_values=fill[name])
        for name, array in inputs.items()
    }
    real = real_positions(inputs)
    hidden = predict(backbone, padded)["hidden"][:, : real.shape[1]]
    # Masked scores are at -60: what is left of them is below float32's resolution.
    np.testing.assert_allclose(hidden[real], expected[real], atol=1e-5, rtol=0)
    if "padding_mask" in inputs:
        unmasked = {**inputs, "padding_mask": np.ones_like(inputs["padding_mask"])}
        difference = np.abs(predict(backbone, unmasked)["hidden"] - expected)[real]
        assert difference.max() > 1e-3, "the mask has no effect"


def check_file(backbone: keras.Model, inputs: dict[str, np.ndarray], folder: pathlib.Path) -> None:
    backbone.save(folder / "backbone.keras")
    loaded = kzoo.load(folder / "backbone.keras")
    assert type(loaded) is type(backbone)
    assert loaded.config == backbone.config
    assert loaded.name == backbone.name
    assert [v.path for v in loaded.weights] == [v.path for v in backbone.weights]
    expected = predict(backbone, inputs)
    for name, output in predict(loaded, inputs).items():
        np.testing.assert_array_equal(output, expected[name])


def check_half_precision(backbone: keras.Model, inputs: dict[str, np.ndarray]) -> None:
    half = type(backbone)(backbone.config, dtype="mixed_bfloat16")
    half.set_weights(backbone.get_weights())
    assert {variable.dtype for variable in half.weights} == {"float32"}
    assert type(half).from_config(half.get_config()).dtype_policy.name == "mixed_bfloat16"
    expected = predict(backbone, inputs)["hidden"]
    real = real_positions(inputs)
    outputs = half(inputs, training=False)
    assert {keras.backend.standardize_dtype(t.dtype) for t in outputs.values()} == {"bfloat16"}
    hidden = keras.ops.convert_to_numpy(keras.ops.cast(outputs["hidden"], "float32"))
    # bfloat16 keeps 8 bits: 0.4 % of values of size 1, through a few layers.
    assert np.abs(hidden - expected)[real].max() < 0.1


def check_training(backbone: keras.Model, inputs: dict[str, np.ndarray]) -> None:
    before = {v.path: keras.ops.convert_to_numpy(v.value).copy() for v in backbone.weights}
    targets = {name: output + 1.0 for name, output in predict(backbone, inputs).items()}
    backbone.compile(optimizer=keras.optimizers.SGD(0.1), loss=dict.fromkeys(targets, "mse"))
    backbone.fit(inputs, targets, batch_size=len(inputs["token_ids"]), epochs=1, verbose=0)
    still = [
        v.path
        for v in backbone.trainable_weights
        if np.array_equal(keras.ops.convert_to_numpy(v.value), before[v.path])
    ]
    assert len(backbone.trainable_weights) == len(backbone.weights)
    assert [path for path in still if not path.endswith(NO_GRADIENT)] == []


def example_inputs(vocab_size: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    real = np.array([[8], [5], [1]])
    return {
        "token_ids": random.integers(0, vocab_size, (3, 8)).astype("int32"),
        "segment_ids": random.integers(0, 2, (3, 8)).astype("int32"),
        "padding_mask": (np.arange(8) < real).astype("int32"),
    }


def real_positions(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return where there are tokens: everywhere, for a model that takes no mask."""
    return inputs.get("padding_mask", np.ones_like(inputs["token_ids"])).astype(bool)


def randomize(model: keras.Model) -> None:
    """Move every weight: new models have zero biases and unit scales, which hide mistakes."""
    random = np.random.default_rng(1)
    model.set_weights([w + random.normal(0, 0.1, w.shape) for w in model.get_weights()])


def predict(model: keras.Model, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    outputs = model(inputs, training=False)
    return {name: keras.ops.convert_to_numpy(output) for name, output in outputs.items()}
