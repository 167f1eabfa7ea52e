"""Lower a model to an ONNX graph through `torch.export`."""

import warnings
from pathlib import Path
from typing import Any

import keras

from kzoo_export.lowering.keras_forms import exportable_forms
from kzoo_export.onnx.convert import convert
from kzoo_export.source.names import positional, weights_by_path
from kzoo_export.spec import Signature, Spec, TensorSpec

OPSET = 23


def lower(model: keras.Model, spec: Spec, target: Path) -> None:
    """Trace the model once with static shapes and fuse what ONNX has single operations for.

    Args:
        model: The model, loaded under the PyTorch backend.
        spec: What to make.
        target: The float32 `.onnx` file to write.
    """
    convert(trace(model, spec.signature), target, spec, weights_by_path(model))


def trace(model: keras.Model, signature: Signature) -> Any:
    """Trace a model to an ONNX graph in the exporter's own words, nothing fused yet.

    Args:
        model: The model, loaded under the PyTorch backend.
        signature: The signature to trace.

    Returns:
        An `onnx_ir.Model`.
    """
    import torch

    call = positional(model, signature)

    class Traced(torch.nn.Module):
        """The model as a module; its weights are constants of the trace."""

        def forward(self, *tensors: Any) -> Any:
            with exportable_forms(model, signature):
                outputs = call(*tensors)
            # A copy of its own for each output: two outputs may be one tensor, and an output may
            # be an input.
            return tuple(tensor.clone() for tensor in outputs)

    # The tracer refuses constants that take part in differentiation.
    for variable in model.variables:
        variable.value.requires_grad_(False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Traced().eval(),
            tuple(_example(entry) for entry in signature.inputs),
            input_names=[entry.name for entry in signature.inputs],
            output_names=[entry.name for entry in signature.outputs],
            opset_version=OPSET,
            dynamo=True,
            # Later, after the fusions: it takes an epsilon of 1e-12 for zero and drops it.
            optimize=False,
            verbose=False,
        )
    _drop_idle_squeezes(program.model.graph)
    return program.model


def _drop_idle_squeezes(graph: Any) -> None:
    """Drop what squeezes nothing: PyTorch passes over an axis that is not 1, ONNX refuses it."""
    for node in list(graph):
        if node.op_type == "Squeeze" and node.inputs[0].shape == node.outputs[0].shape:
            node.outputs[0].replace_all_uses_with(node.inputs[0])
            graph.remove(node, safe=True)


def _example(entry: TensorSpec) -> Any:
    """Make an input to trace with; ones, for zero rows and masks take shortcuts in some layers."""
    import torch

    return torch.ones(entry.shape, dtype=getattr(torch, entry.dtype))
