"""From a traced graph to an `.onnx` file, and the one way such files are written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.errors import ExportError
from kzoo_export.spec import Spec

# A protocol buffer cannot be larger; weights would have to go to a second file.
_LARGEST_FILE = 2**31 - 1


def convert(traced: Any, target: Path, spec: Spec, weights: Mapping[str, np.ndarray]) -> None:
    """Fuse what ONNX has single operations for, and write the float32 file.

    Args:
        traced: An `onnx_ir.Model` as a route traced it. It is changed.
        target: File to write.
        spec: What to make.
        weights: The weights of the model by path, to name the constants of the file.
    """
    from kzoo_export.onnx.passes.fuse import fuse
    from kzoo_export.onnx.passes.weights import name_weights

    model = fuse(traced, spec.portable)
    name_weights(model.graph, weights)
    write(model, target)


def write(model: Any, target: Path) -> None:
    """Write a model to one self-contained file, checked by ONNX first.

    Args:
        model: An `onnx_ir.Model`.
        target: File to write.

    Raises:
        ExportError: If the model is too large for one file, or not valid.
    """
    import onnx
    import onnx_ir as ir

    size = sum(tensor.nbytes for tensor in _tensors(model))
    if size > _LARGEST_FILE:
        raise ExportError(
            f"A single .onnx file holds at most 2 GiB, and this graph has {size} bytes of weights"
        )
    model.producer_name = "kzoo"
    ir.save(model, target)
    try:
        onnx.checker.check_model(str(target))
    except onnx.checker.ValidationError as error:
        raise ExportError(f"The ONNX graph is not valid: {error}") from error


def _tensors(model: Any) -> list[Any]:
    values = model.graph.initializers.values()
    return [value.const_value for value in values if value.const_value is not None]
