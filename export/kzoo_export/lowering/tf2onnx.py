"""Lower a model to an ONNX graph through TensorFlow alone, for where PyTorch is not installed."""

from pathlib import Path
from typing import Any

import keras

from kzoo_export.lowering.keras_forms import exportable_forms
from kzoo_export.onnx.convert import convert
from kzoo_export.source.names import positional, weights_by_path
from kzoo_export.spec import Signature, Spec

# The last operation set that tf2onnx knows; the fusions move the graph to a newer one.
OPSET = 18


def lower(model: keras.Model, spec: Spec, target: Path) -> None:
    """Trace the model once and fuse what ONNX has single operations for.

    Args:
        model: The model, loaded under the TensorFlow backend.
        spec: What to make.
        target: The float32 `.onnx` file to write.
    """
    convert(trace(model, spec.signature), target, spec, weights_by_path(model))


def trace(model: keras.Model, signature: Signature) -> Any:
    """Trace a model to an ONNX graph in the converter's own words, nothing fused yet.

    Args:
        model: The model, loaded under the TensorFlow backend.
        signature: The signature to trace.

    Returns:
        An `onnx_ir.Model`.
    """
    import onnx_ir as ir
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    # tf2onnx still uses names that NumPy 2 removed.
    patch_tf2onnx()
    call = positional(model, signature)

    def serve(*tensors: Any) -> dict[str, Any]:
        with exportable_forms(model, signature):
            outputs = call(*tensors)
        # An identity of its own name for each output: two outputs may be one tensor, and an
        # output may be an input.
        named = zip(signature.outputs, outputs, strict=True)
        return {entry.name: tf.identity(tensor) for entry, tensor in named}

    tensors = [tf.TensorSpec(entry.sizes, entry.dtype, entry.name) for entry in signature.inputs]
    proto, _ = tf2onnx.convert.from_function(
        tf.function(serve, autograph=False),
        input_signature=tensors,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    traced = ir.from_proto(proto)
    # TensorFlow sorts them.
    outputs = {value.name: value for value in traced.graph.outputs}
    traced.graph.outputs[:] = [outputs[entry.name] for entry in signature.outputs]
    return traced


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Spell erfc(x), which ONNX lacks, as 1 - erf(x)."""
    import numpy as np

    dtype = context.get_dtype(node.output[0])
    shape = context.get_shape(node.output[0])
    (source,), (output,) = node.input, node.output
    context.remove_node(name)
    erf = context.make_node("Erf", [source], shapes=[shape], dtypes=[dtype])
    one = context.make_const(f"{name}_one", np.ones((), np.float32))
    context.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        name=name,
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
    )
