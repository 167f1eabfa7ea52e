"""Networks for images in integers: a small one trained here on digits, and MobileNetV3Small."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, export, verify
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.errors import RecipeError
from kzoo_export.recipe import Override, Recipe
from tests.proofs.models import PHOTOGRAPHS, SUBJECTS, photographs

pytestmark = pytest.mark.once

INT8, INT16 = RECIPES["static_int8"], RECIPES["static_int16x8"]
HELD_OUT = 500


class Digits(NamedTuple):
    """A trained network, the images it has not seen, and others to calibrate on."""

    model: keras.Model
    images: np.ndarray
    labels: np.ndarray
    calibration: np.ndarray

    def accuracy(self, path: Path) -> float:
        """Count the images that a file tells right."""
        (logits,) = run_batches(load(path), {"image": self.images}).values()
        return float((logits.argmax(axis=-1) == self.labels).mean())


@pytest.fixture(scope="module")
def digits() -> Digits:
    import sklearn.datasets

    keras.utils.set_random_seed(0)
    found = sklearn.datasets.load_digits()
    # In 0..255, as cameras give them.
    images = (found.images[..., None] * 15.9375).astype("float32")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("hard_swish"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, name="logits"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    model.fit(images[HELD_OUT:], found.target[HELD_OUT:], epochs=25, batch_size=64, verbose=0)
    return Digits(model, images[:HELD_OUT], found.target[:HELD_OUT], images[HELD_OUT:][:64])


def integers(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, float_io=False)


@pytest.mark.parametrize("recipe", [INT8, integers(INT8), INT16], ids=["int8", "io", "int16"])
def test_digits_keep_their_accuracy(digits: Digits, recipe: Recipe, tmp_path: Path) -> None:
    given: dict[str, Any] = {"samples": digits.images, "calibration": digits.calibration}
    export(digits.model, tmp_path / "float32.tflite", **given)
    report = export(digits.model, tmp_path / "integers.tflite", recipe, **given)
    exact = digits.accuracy(tmp_path / "float32.tflite")
    assert exact > 0.9
    assert abs(digits.accuracy(tmp_path / "integers.tflite") - exact) <= 0.01
    dtypes = dict(report.inspection.ops_by_dtype)
    if recipe.float_io:
        # What makes the outputs.
        assert dtypes.pop("float32") == {"DEQUANTIZE": 1}
    assert list(dtypes) == [recipe.activations]


def test_integers_in_and_out(digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / "integers.tflite"
    given: dict[str, Any] = {"samples": digits.images, "calibration": digits.calibration}
    report = export(digits.model, path, integers(INT8), **given)
    for tensor in (*report.inspection.inputs, *report.inspection.outputs):
        assert tensor.dtype == "int8"
        assert tensor.quantization is not None
        assert f"(scale {tensor.quantization[0]:.6g}, zero point" in str(report)
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(report.inspection.ops)
    # Files are run with the floats that integers stand for.
    assert [tensor.dtype for tensor in load(path).inputs] == ["float32"]
    assert verify(path, digits.model, digits.images).passed
    export(digits.model, tmp_path / "float.tflite", INT8, **given)
    inside, outside = (
        run_batches(load(each), {"image": digits.images})[report.inspection.outputs[0].name]
        for each in (path, tmp_path / "float.tflite")
    )
    np.testing.assert_array_equal(inside, outside)


def test_floats_that_cannot_be_integers(digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / "made.tflite"
    with pytest.raises(ValueError, match=r"`float_io` must be true.*Received: .*weight_int8"):
        integers(RECIPES["weight_int8"])
    with pytest.raises(ValueError, match=r"must have `float_io`: ONNX.*Received"):
        export(digits.model, path.with_suffix(".onnx"), integers(INT8))
    last = dataclasses.replace(integers(INT8), overrides=(Override("float32", scope="logits"),))
    with pytest.raises(RecipeError, match=r"`float_io=False`, and .* cannot be integers"):
        export(digits.model, path, last, samples=digits.images, calibration=digits.calibration)
    assert not list(tmp_path.iterdir())


def test_mobilenet_keeps_its_logits(tmp_path: Path) -> None:
    """Hard swish has no kernel of 16 bits, and the scales of pixels are next to powers of two."""
    size, larger = 224, 320
    model = SUBJECTS["MobileNetV3Small"].build(size)
    random, images = np.random.default_rng(0), photographs(model, larger)
    corners = random.integers(0, larger - size, (2 * len(PHOTOGRAPHS), 2))
    calibration = np.stack(
        [
            images[place % len(images), top : top + size, left : left + size]
            for place, (top, left) in enumerate(corners)
        ]
    )
    given: dict[str, Any] = {"samples": photographs(model, size), "calibration": calibration}
    report = export(model, tmp_path / "integers.tflite", INT8, **given)
    export(model, tmp_path / "float32.tflite", **given)
    (name,) = (tensor.name for tensor in report.inspection.inputs)
    centered = []
    for file in ("float32", "integers"):
        (logits,) = run_batches(
            load(tmp_path / f"{file}.tflite"), {name: given["samples"]}
        ).values()
        centered.append(logits - logits.mean(axis=0))
    norms = np.linalg.norm(centered, axis=-1).prod(axis=0)
    assert ((centered[0] * centered[1]).sum(axis=-1) / norms).min() > 0.99
    assert set(report.inspection.ops_by_dtype["float32"]) == {"DEQUANTIZE"}
    assert report.inspection.ops_by_dtype["float32"]["DEQUANTIZE"] == 1
