"""Repair what tracers leave to the runtime and ONNX does not allow: mixed dtypes, broadcasts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from kzoo_export.onnx.passes.edit import Editor

# How much a dtype outranks another one where both enter an operation.
_RANKS = {"b": 0, "u": 1, "i": 2, "f": 3, "c": 4}


def promote_types(graph: ir.Graph) -> None:
    """Cast the inputs of every operation to one dtype where the operation asks for one, in place.

    PyTorch multiplies a float tensor by an integer as Python and NumPy do; ONNX has no such
    product. The result has the dtype that the tracer noted for it, where it did.

    Args:
        graph: The graph.
    """
    for node in list(graph):
        for places in _same_types(node):
            values = [node.inputs[place] for place in places]
            dtypes = {value.dtype for value in values if value is not None and value.dtype}
            if len(dtypes) > 1:
                wanted = max(dtypes, key=_rank)
                _cast_inputs(graph, node, places, wanted)


def expand_masks(graph: ir.Graph) -> None:
    """Give masks of Attention their full last two axes, which ONNX Runtime does not broadcast.

    Args:
        graph: The graph, changed in place.
    """
    for node in list(graph):
        if node.op_type != "Attention" or node.domain not in ("", "ai.onnx"):
            continue
        mask = node.inputs[3] if len(node.inputs) > 3 else None
        shapes = [value.shape for value in (*node.inputs[:2], mask) if value is not None]
        if mask is None or not all(shape is not None and shape.is_static() for shape in shapes):
            continue
        query, key, own = ([int(size) for size in shape] for shape in shapes)
        wanted = [*own[:-2], query[-2], key[-2]]
        if own != wanted:
            edit = Editor(graph, node)
            sizes = edit.constant(f"{mask.name}_shape", np.array(wanted, np.int64))
            expanded = edit.add("Expand", mask, sizes)
            expanded.shape, expanded.type = ir.Shape(wanted), mask.type
            node.replace_input_with(3, expanded)


def _same_types(node: ir.Node) -> Iterator[list[int]]:
    """List the inputs of an operation that must have one dtype, by their type variable."""
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        return
    schema = onnx.defs.get_schema(node.op_type)
    variables: dict[str, list[int]] = {}
    for place in range(len(node.inputs)):
        formal = schema.inputs[min(place, len(schema.inputs) - 1)]
        variables.setdefault(formal.type_str, []).append(place)
    known = {constraint.type_param_str for constraint in schema.type_constraints}
    yield from (places for name, places in variables.items() if name in known and len(places) > 1)


def _rank(dtype: Any) -> tuple[int, int]:
    numpy = dtype.numpy()
    return _RANKS.get(numpy.kind, 0), numpy.itemsize


def _cast_inputs(graph: ir.Graph, node: ir.Node, places: list[int], wanted: Any) -> None:
    for place in places:
        value = node.inputs[place]
        if value is not None and value.dtype not in (None, wanted):
            cast = Editor(graph, node).add("Cast", value, to=wanted)
            cast.shape, cast.type = value.shape, ir.TensorType(wanted)
            node.replace_input_with(place, cast)
