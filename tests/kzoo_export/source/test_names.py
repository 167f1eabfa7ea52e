"""Names of inputs and outputs: each has one of its own, so none is lost."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import export
from kzoo_export.artifact.files import load
from kzoo_export.source.names import named_leaves

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "b"], ["a", "a_1", "b"]),
        (["a", "a", "a_1"], ["a", "a_2", "a_1"]),
        (["a", "a", "a_1", "a_1"], ["a", "a_2", "a_1", "a_1_1"]),
        (["a_1", "a", "a"], ["a_1", "a", "a_2"]),
    ],
)
def test_output_names_are_unique(names: list[str], unique: list[str]) -> None:
    places = list(range(len(names)))
    leaves = named_leaves(places, places, names)
    assert list(leaves) == unique
    assert list(leaves.values()) == list(range(len(names)))


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_no_output_of_a_shared_layer_is_lost(format: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    first, second = keras.Input((8,), name="first"), keras.Input((8,), name="second")
    shared, other = keras.layers.Dense(4, name="dense"), keras.layers.Dense(4, name="dense_1")
    model = keras.Model([first, second], [shared(first), shared(second), other(first)])
    path = tmp_path / f"model.{format}"
    export(model, path)
    arrays = {name: np.random.default_rng(0).random((1, 8), "float32") for name in ("first",)}
    arrays["second"] = 1.0 - arrays["first"]
    outputs = load(path)(arrays)
    expected = map(keras.ops.convert_to_numpy, model([arrays["first"], arrays["second"]]))
    for name, array in zip(("dense", "dense_2", "dense_1"), expected, strict=True):
        np.testing.assert_allclose(outputs[name], array, atol=1e-5)
