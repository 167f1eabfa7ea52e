"""Models in float64, which TensorFlow and PyTorch compute in: files are float32."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import export
from kzoo_export.artifact.files import load

if keras.config.backend() != "torch":
    pytest.skip(
        "JAX has no float64 by default; one of the others suffices", allow_module_level=True
    )


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_float64_model_becomes_a_float32_file(format: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,), dtype="float64", name="x")
    outputs = keras.layers.Dense(4, dtype="float64", name="y")(inputs)
    model = keras.Model(inputs, [outputs, inputs * np.pi])
    path = tmp_path / f"model.{format}"
    report = export(model, path)
    tensors = [*report.inspection.inputs, *report.inspection.outputs]
    assert {tensor.dtype for tensor in tensors} == {"float32"}
    x = np.random.default_rng(0).standard_normal((1, 8))
    expected = keras.ops.convert_to_numpy(model(x)[0])
    np.testing.assert_allclose(load(path)({"x": x.astype("float32")})["y"], expected, atol=1e-5)
