"""From a SavedModel to a `.tflite` file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kzoo_export.spec import ExportError, Spec, TensorSpec


def convert(lowered: Path, target: Path, spec: Spec) -> None:
    """Write the float32 file.

    Args:
        lowered: Folder of the SavedModel.
        target: File to write.
        spec: Signature of the file.
    """
    write(make_converter(lowered), target, spec)


def make_converter(lowered: Path) -> Any:
    """Open a SavedModel for conversion to built-in operations only.

    Args:
        lowered: Folder of the SavedModel.

    Returns:
        A `tf.lite.TFLiteConverter`.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(lowered))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def write(converter: Any, target: Path, spec: Spec) -> None:
    """Convert, put inputs and outputs in their documented order, and write the file.

    Args:
        converter: A `tf.lite.TFLiteConverter`, configured.
        target: File to write.
        spec: Signature of the file.

    Raises:
        ExportError: If the model has operations that TFLite does not have.
    """
    try:
        model = bytearray(converter.convert())
    except Exception as error:
        listed = re.findall(r"(?:TF Select|Custom) ops: (.+)", str(error))
        if not listed:
            raise
        operations = sorted({name.strip() for names in listed for name in names.split(",")})
        raise ExportError(
            f"TFLite has no built-in operation for: {', '.join(operations)}. "
            "Rewrite the layer that uses it, or export to .onnx"
        ) from error
    order_tensors(model, spec)
    target.write_bytes(model)


def order_tensors(model: bytearray, spec: Spec) -> None:
    """Put the graph's inputs and outputs in the order of a spec, in place.

    The converter sorts them as it likes. Clients that feed by position rely on the documented
    order; those that feed by name are not affected.

    Args:
        model: A TFLite flatbuffer with one signature.
        spec: Signature with the wanted order.
    """
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(model, 0)
    signature = root.SignatureDefs(0)
    graph = root.Subgraphs(signature.SubgraphIndex())
    inputs = {
        signature.Inputs(i).Name().decode(): signature.Inputs(i).TensorIndex()
        for i in range(signature.InputsLength())
    }
    outputs = {
        signature.Outputs(i).Name().decode(): signature.Outputs(i).TensorIndex()
        for i in range(signature.OutputsLength())
    }
    # NumPy views of the flatbuffer: writing to them writes to the file.
    graph.InputsAsNumpy()[:] = _in_order(inputs, spec.inputs)
    graph.OutputsAsNumpy()[:] = _in_order(outputs, spec.outputs)


def _in_order(indices: dict[str, int], tensors: Sequence[TensorSpec]) -> list[int]:
    """Arrange tensor indices like the tensors of a spec."""
    return [indices[tensor.name] for tensor in tensors]
