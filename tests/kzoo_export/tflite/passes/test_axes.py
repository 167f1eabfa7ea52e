"""Normalization as PyTorch's tools write it: means without their axes, shaped back to rows."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import ops

from kzoo_export import RECIPES, export
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.tflite import calibrate, flatbuffer, quantize
from kzoo_export.tflite.passes import normalization
from kzoo_export.tflite.passes.axes import keep_axes
from kzoo_export.tflite.passes.normalization import normalize_twice

pytestmark = pytest.mark.once

ROWS, LENGTH, WIDTH = 16, 4, 128
Case = tuple[Path, dict[str, np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def normalized(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A float file, samples whose rows are of very different size, and the outputs."""
    x = keras.Input((LENGTH, WIDTH), name="features", batch_size=1)

    def shaped(numbers: Any) -> Any:
        return ops.reshape(numbers, (1, LENGTH, 1))

    mean = ops.mean(x, axis=-1)
    variance = ops.mean(ops.square(x - shaped(mean)), axis=-1)
    root = ops.rsqrt(variance + 1e-3)
    rows = x * shaped(root) + shaped(0.0 - root * mean)
    path = tmp_path_factory.mktemp("normalized") / "float32.tflite"
    random = np.random.default_rng(0)
    sizes = np.array([[30.0], [10.0], [3.0], [0.5]])
    features = random.standard_normal((ROWS, LENGTH, WIDTH)) * sizes + sizes
    samples = {"features": features.astype("float32")}
    dense = keras.layers.Dense(WIDTH, kernel_initializer="identity")
    export(keras.Model(x, {"rows": dense(rows)}), path, samples=samples)
    return path, samples, run_batches(load(path), samples)["rows"]


def means(model: Any) -> list[bool]:
    code = schema.BuiltinOperator.MEAN
    return [
        operator.builtinOptions.keepDims
        for operator in model.subgraphs[0].operators
        if flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex]) == code
    ]


def test_means_keep_their_axes(normalized: Case) -> None:
    path, samples, expected = normalized
    model = flatbuffer.read(path.read_bytes())
    assert means(model) == [False, False]
    keep_axes(model)
    assert means(model) == [True, True]
    found = calibrate.run_outputs(flatbuffer.write(model), samples)
    np.testing.assert_allclose(found["rows"], expected, atol=1e-5)
    assert normalize_twice(model)
    found = calibrate.run_outputs(flatbuffer.write(model), samples)
    np.testing.assert_allclose(found["rows"], expected, atol=2e-5)


def test_small_rows_beside_large_ones(
    normalized: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, samples, expected = normalized

    def error() -> float:
        made = tmp_path / "made.tflite"
        quantize.quantize(path, made, RECIPES["static_int16x8"], samples)
        rows = run_batches(load(made), samples)["rows"]
        norms = (np.linalg.norm(each, axis=(0, 2)) for each in (rows - expected, expected))
        return float(np.divide(*norms).max())

    assert error() < 0.02
    monkeypatch.setattr(normalization, "keep_axes", lambda model: None)
    assert error() > 0.05


def test_means_that_nothing_shapes_stay(tmp_path: Path) -> None:
    x = keras.Input((LENGTH, WIDTH), name="features", batch_size=1)
    pooled = keras.layers.Dense(WIDTH)(ops.sqrt(1.0 + ops.square(ops.mean(x, axis=1))))
    export(keras.Model(x, {"pooled": pooled}), tmp_path / "made.tflite")
    model = flatbuffer.read((tmp_path / "made.tflite").read_bytes())
    before = flatbuffer.write(model)
    keep_axes(model)
    assert flatbuffer.write(model) == before
