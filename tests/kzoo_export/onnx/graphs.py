"""ONNX graphs written by hand, and the numbers they compute."""

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx_ir as ir

from kzoo_export.onnx import runtime

HEADER = '<ir_version: 9, opset_import: ["" : 18, "com.microsoft" : 1]>'


def parse(text: str, **constants: np.ndarray) -> ir.Model:
    """Build a model from ONNX's text form, with the constants it names.

    A text that begins with a header of its own has another version of the operations.
    """
    model = onnx.parser.parse_model(text if text.startswith("<") else f"{HEADER}\n{text}")
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(model, full_check=True)
    return ir.from_proto(model)


def save(model: ir.Model, folder: Path) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.onnx"
    ir.save(model, path)
    return path


def run(model: ir.Model, folder: Path, **feed: np.ndarray) -> np.ndarray:
    """Run a model with a single output."""
    (result,) = runtime.load(save(model, folder), threads=1)(feed).values()
    return result


def ops(model: ir.Model) -> list[str]:
    return sorted(node.op_type for node in model.graph)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")
