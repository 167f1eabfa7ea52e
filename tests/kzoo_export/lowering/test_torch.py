"""What PyTorch's tracer writes and ONNX does not allow."""

import keras
import numpy as np
import pytest

from kzoo_export.artifact.files import load
from kzoo_export.spec import Signature, Spec, TensorSpec

if keras.config.backend() != "torch":
    pytest.skip("the route lowers from PyTorch", allow_module_level=True)


def test_lookup_in_a_row_of_numbers(tmp_path):
    """Keras squeezes an axis that may be longer than 1, which PyTorch leaves as it is."""
    from kzoo_export.lowering import torch

    row = np.arange(10, dtype="float32") ** 2
    index = keras.Input(batch_shape=(2, 3), dtype="int32", name="index")
    model = keras.Model({"index": index}, {"number": keras.ops.take(row, index)})
    inputs = (TensorSpec("index", (2, 3), "int32"),)
    outputs = (TensorSpec("number", (2, 3), "float32"),)
    file = tmp_path / "a.onnx"
    torch.lower(model, Spec("onnx", "torch", (Signature(inputs, outputs),)), file)
    picked = np.array([[0, 3, 9], [5, 5, 1]], "int32")
    np.testing.assert_array_equal(load(file)({"index": picked})["number"], row[picked])
