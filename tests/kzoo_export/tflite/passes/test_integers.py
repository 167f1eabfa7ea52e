"""Products with a constant that is no dense weight, whose kernels have one scale."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, export
from kzoo_export.artifact.compare import compare_outputs
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.spec import NOTHING_DECLARED
from kzoo_export.tflite import quantize

pytestmark = pytest.mark.once

ROWS, HEADS, LENGTH, WIDTH = 16, 2, 8, 32


@pytest.fixture(scope="module", params=("left", "right"))
def product(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, np.ndarray]]:
    """The float32 file of a product of activations with a constant, and samples."""
    random = np.random.default_rng(0)
    features = keras.Input((HEADS, LENGTH, WIDTH), batch_size=1, name="features")
    if request.param == "left":
        constant = random.normal(size=(1, HEADS, 4 * LENGTH, LENGTH)).astype("float32")
        output = keras.ops.matmul(constant, features)
    else:
        constant = random.normal(size=(1, HEADS, WIDTH, WIDTH)).astype("float32")
        output = keras.ops.matmul(features, constant)
    samples = {"features": random.normal(size=(ROWS, HEADS, LENGTH, WIDTH)).astype("float32")}
    path = tmp_path_factory.mktemp(request.param) / "float32.tflite"
    export(keras.Model(features, {"mixed": output}), path, samples=samples)
    return path, samples


@pytest.mark.parametrize("name", ["static_int16x8", "static_int8", "static_int8_strict"])
def test_products_with_constants(
    product: tuple[Path, dict[str, np.ndarray]], name: str, tmp_path: Path
) -> None:
    path, samples = product
    target = tmp_path / f"{name}.tflite"
    quantize.quantize(path, target, RECIPES[name], samples)
    expected, outputs = (run_batches(load(each), samples) for each in (path, target))
    (found,) = compare_outputs(outputs, expected, samples, NOTHING_DECLARED)
    assert found.cosine_min is not None
    assert found.cosine_min > 0.99


def test_differences_of_masks_are_exact(tmp_path: Path) -> None:
    """Scales next to powers of two are shifted by, where the kernel can; it rounds nothing then."""
    mask = keras.Input((WIDTH,), batch_size=1, name="mask")
    path, target = tmp_path / "float32.tflite", tmp_path / "int16.tflite"
    samples = {"mask": np.random.default_rng(0).integers(0, 2, (ROWS, WIDTH)).astype("float32")}
    export(keras.Model(mask, {"padding": 1.0 - mask}), path, samples=samples)
    quantize.quantize(path, target, RECIPES["static_int16x8"], samples)
    outputs = run_batches(load(target), samples)["padding"]
    assert (outputs[samples["mask"] == 1.0] == 0.0).all()
    np.testing.assert_allclose(outputs, 1.0 - samples["mask"], atol=1e-4)
