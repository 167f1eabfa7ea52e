"""Models as people write them: whatever Keras computes, a file of either format computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo_export import export
from kzoo_export.artifact.files import load

pytestmark = pytest.mark.once

Tensors = dict[str, Any]
SIDE = 8

INPUTS = {
    "sensor reading": ((16,), "float32"),
    "sequence": ((10, 32), "float32"),
    "real": ((10,), "bool"),
    "image": ((11, 11, 4), "float32"),
}


def attend(inputs: Tensors, mask: Any) -> Any:
    sequence = inputs["sequence"]
    return layers.MultiHeadAttention(4, 8)(sequence, sequence, attention_mask=mask)


def pool(inputs: Tensors, layer: type, size: Any, strides: Any) -> Any:
    return layer(size, strides=strides, padding="same")(inputs["image"])


def square(inputs: Tensors) -> Any:
    return inputs["sequence"][:, :SIDE, :SIDE]


# What is written, as a function of the inputs.
PARTS: dict[str, Callable[[Tensors], Any]] = {
    "integers around": lambda x: 3 - x["sensor reading"] * 2 + 1,
    "divided": lambda x: 1 / (2 + ops.abs(x["sensor reading"]) // 1),
    "power": lambda x: x["sensor reading"] ** 2 % 3,
    "at least": lambda x: ops.maximum(x["sensor reading"], 0),
    "chosen": lambda x: ops.where(x["sensor reading"] > 0, x["sensor reading"], 1),
    "clipped": lambda x: ops.clip(x["sensor reading"], -1, 1),
    "positive?": lambda x: x["sensor reading"] > 0,
    "largest": lambda x: ops.argmax(x["sensor reading"], axis=-1),
    "smallest": lambda x: ops.argmin(x["sequence"], axis=1),
    "best three": lambda x: list(ops.top_k(x["sensor reading"], 3)),
    "minus": lambda x: ops.cast(ops.signbit(x["sensor reading"]), "int32"),
    "count": lambda x: ops.sum(ops.cast(x["real"], "int32"), axis=1),
    "masked": lambda x: ops.where(x["real"], x["sequence"][:, :, 0], -np.inf),
    "mask of keys": lambda x: attend(x, x["real"][:, None, :]),
    "mask of queries": lambda x: attend(x, x["real"][:, :, None]),
    "mask of pairs": lambda x: attend(x, x["real"][:, None, :] & x["real"][:, :, None]),
    "average of 3": lambda x: pool(x, layers.AveragePooling2D, 3, 3),
    "average of 4 by 2": lambda x: pool(x, layers.AveragePooling2D, (4, 2), 1),
    "average of 2 in 1-D": lambda x: layers.AveragePooling1D(2, padding="same")(x["sequence"]),
    "most of 4": lambda x: pool(x, layers.MaxPooling2D, 4, 3),
    "two LSTM": lambda x: layers.LSTM(8)(layers.LSTM(8, return_sequences=True)(x["sequence"])),
    "every step": lambda x: layers.GRU(8, return_sequences=True)(x["sequence"]),
    "both ways": lambda x: layers.Bidirectional(layers.SimpleRNN(8, return_sequences=True))(
        x["sequence"]
    ),
    "sum with a column": lambda x: x["sequence"] + x["sequence"][:, :, :1],
    "square and column": lambda x: square(x) + square(x)[:, :, :1],
    "input": lambda x: x["image"],
    "größe (%)": lambda x: {"in": [x["sensor reading"], {"another": (x["sequence"] + 1,)}]},
}
NAMES = {
    "best three": ["best three_0", "best three_1"],
    "größe (%)": ["größe (%)_in_0", "größe (%)_in_1_another_0"],
}
INTEGERS = ("positive?", "largest", "smallest", "best three_1", "minus", "count")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = {
        name: keras.Input(shape, dtype=dtype, name=name) for name, (shape, dtype) in INPUTS.items()
    }
    return keras.Model(inputs, {name: part(inputs) for name, part in PARTS.items()})


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {
        name: random.standard_normal((8, *shape)).astype("float32")
        for name, (shape, _) in INPUTS.items()
    }
    arrays["real"] = np.arange(10) < random.integers(1, 11, (8, 1))
    arrays["sensor reading"][:, 0] = -0.0
    return arrays


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_files_compute_what_the_model_does(
    model: keras.Model, samples: dict[str, np.ndarray], format: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{format}"
    report = export(model, path, samples=samples)
    names = [name for part in PARTS for name in NAMES.get(part, [part])]
    assert [tensor.name for tensor in report.inspection.inputs] == list(INPUTS)
    assert [tensor.name for tensor in report.inspection.outputs] == names
    kinds = {output.name: output.kind for output in report.verification.outputs}
    assert kinds == {name: "integers" if name in INTEGERS else None for name in names}
    # By hand as well, for the parts that NumPy computes.
    row = {
        name: array[:1].astype(entry)
        for (name, array), entry in zip(
            samples.items(), ("float32", "float32", "int32", "float32"), strict=True
        )
    }
    outputs = load(path)(row)
    reading = row["sensor reading"]
    np.testing.assert_allclose(outputs["integers around"], 4 - 2 * reading, rtol=1e-6)
    np.testing.assert_array_equal(outputs["largest"], reading.argmax(1))
    np.testing.assert_array_equal(outputs["minus"], np.signbit(reading))
    np.testing.assert_array_equal(outputs["count"], row["real"].sum(1))
    np.testing.assert_array_equal(outputs["größe (%)_in_0"], reading)
    np.testing.assert_array_equal(outputs["input"], row["image"])
    part = row["sequence"][:, :SIDE, :SIDE]
    np.testing.assert_allclose(outputs["square and column"], part + part[:, :, :1], rtol=1e-6)


@keras.saving.register_keras_serializable("kzoo_tests")
class Filterbank(layers.Layer):
    """A product with a fixed matrix and the sum with a fixed table: neither is a weight."""

    def call(self, inputs: Any) -> Any:
        random = np.random.default_rng(0)
        matrix = random.normal(0, 0.1, (64, 64)).astype("float32")
        table = np.sin(np.arange(128 * 64, dtype="float32").reshape(128, 64))
        product = ops.matmul(inputs, ops.transpose(ops.convert_to_tensor(matrix)))
        return product + ops.convert_to_tensor(table)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_products_may_follow_each_other(format: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((128, 64), name="frames")
    shared = layers.Dense(64)
    first = layers.Dense(64)(Filterbank()(inputs))
    outputs = [layers.Dense(64)(shared(first)), layers.Dense(64)(first), shared(first + 1)]
    report = export(keras.Model(inputs, outputs), tmp_path / f"model.{format}", "dynamic_int8")
    assert report.inspection.matmuls.get("float32", 0) == 0
