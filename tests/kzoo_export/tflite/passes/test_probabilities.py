"""Attention probabilities in two parts: the same product, and far less rounding."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, export
from kzoo_export.tflite import calibrate, flatbuffer, quantize
from kzoo_export.tflite.passes import probabilities
from kzoo_export.tflite.passes.static import float_operations

pytestmark = pytest.mark.once

KEYS, HEADS, WIDTH = 96, 2, 8
SAMPLES = {
    name: np.random.default_rng(seed).standard_normal((16, HEADS, KEYS, size)).astype("float32")
    for seed, (name, size) in enumerate((("logits", KEYS), ("values", WIDTH)))
}


def attention(transposed: bool) -> keras.Model:
    """The values under the probabilities, or what some converters make of it: `(v^T p^T)^T`."""
    logits, values = (keras.Input(array.shape[1:], name=name) for name, array in SAMPLES.items())
    weights = keras.ops.softmax(2.0 * logits)
    if transposed:
        swapped = (keras.ops.transpose(each, (0, 1, 3, 2)) for each in (values, weights))
        result = keras.ops.transpose(keras.ops.matmul(*swapped), (0, 1, 3, 2))
    else:
        result = keras.ops.matmul(weights, values)
    return keras.Model({"logits": logits, "values": values}, {"result": result})


@pytest.fixture(scope="module", params=[False, True])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("probabilities") / "float32.tflite"
    export(attention(request.param), made, samples=SAMPLES)
    return made


def products(content: bytes) -> int:
    operations = float_operations(flatbuffer.read(content)).values()
    return sum(operation.is_product for operation in operations)


def test_two_products_are_one(path: Path) -> None:
    content = path.read_bytes()
    model = flatbuffer.read(content)
    probabilities.split_probabilities(model)
    split = flatbuffer.write(model)
    assert (products(content), products(split)) == (1, 2)
    expected, outputs = (calibrate.run_outputs(each, SAMPLES) for each in (content, split))
    np.testing.assert_allclose(outputs["result"], expected["result"], rtol=1e-5, atol=1e-6)


def test_small_probabilities_keep_their_accuracy(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only products in 8 bits, so that nothing else is rounded much.
    recipe = dataclasses.replace(RECIPES["static_int8_strict"], max_loss=0.0)
    expected = calibrate.run_outputs(path.read_bytes(), SAMPLES)["result"]

    def error() -> float:
        quantize.quantize(path, tmp_path / "made.tflite", recipe, SAMPLES)
        made = (tmp_path / "made.tflite").read_bytes()
        difference = calibrate.run_outputs(made, SAMPLES)["result"] - expected
        return float(np.linalg.norm(difference) / np.linalg.norm(expected))

    split = error()
    monkeypatch.setattr(probabilities, "split_probabilities", lambda model: None)
    assert split < 0.6 * error()


def test_few_keys_stay_one_product(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probabilities, "_FEWEST_KEYS", KEYS + 1)
    model = flatbuffer.read(path.read_bytes())
    probabilities.split_probabilities(model)
    assert products(flatbuffer.write(model)) == 1
