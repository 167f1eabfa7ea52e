"""Lower a model to an ONNX graph through `torch.export`."""

import collections
import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kzoo_export.errors import ExportError, root_cause
from kzoo_export.lowering.keras_forms import exportable_forms
from kzoo_export.onnx.convert import convert
from kzoo_export.source.names import positional, weights_by_path
from kzoo_export.spec import OPEN, Signature, Spec, TensorSpec

OPSET = 23


def lower(model: keras.Model, spec: Spec, target: Path) -> None:
    """Trace the model once and fuse what ONNX has single operations for.

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
    with torch.no_grad(), warnings.catch_warnings(), _explaining_open_axes(signature):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Traced().eval(),
            tuple(_example(entry, signature) for entry in signature.inputs),
            input_names=[entry.name for entry in signature.inputs],
            output_names=[entry.name for entry in signature.outputs],
            dynamic_shapes=None if signature.static else (_open_axes(signature),),
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


@contextlib.contextmanager
def _explaining_open_axes(signature: Signature) -> Iterator[None]:
    """Say that axes are open where a model cannot be traced."""
    try:
        yield
    except Exception as error:  # The tracer has many classes.
        if signature.static:
            raise
        reason = root_cause(error)
        raise ExportError(
            f"PyTorch cannot trace the model: {type(reason).__name__}: {reason}. It may be for its "
            "open axes, as where a layer loops over one: give `length` and `batch_size`, or take "
            "the route 'tf2onnx'"
        ) from error


def _open_axes(signature: Signature) -> tuple[dict[int, str], ...]:
    """Name the open axes of each input; those that must be equal get the first of their names."""
    counts = collections.Counter[str]()
    named = []
    for entry in signature.inputs:
        axes = {}
        for axis, size in enumerate(entry.shape):
            if size == OPEN:
                name = "length" if axis else "batch"
                axes[axis] = f"{name}_{counts[name]}" if counts[name] else name
                counts[name] += 1
        named.append(axes)
    return tuple(named)


def _example(entry: TensorSpec, signature: Signature) -> Any:
    """Make an input to trace with; ones, for zero rows and masks take shortcuts in some layers."""
    import torch

    shape = signature.traced_shapes.get(entry.name, entry.shape)
    return torch.ones(shape, dtype=getattr(torch, entry.dtype))
