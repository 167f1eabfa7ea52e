"""Store the weights of an ONNX graph as float16.

The arithmetic stays float32: ONNX Runtime has next to no float16 kernels for CPUs and would insert
a conversion around every node instead. It widens these weights once, when the file is loaded.
"""

from collections.abc import Set

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes.graph import Editor, weight_of, weights_in_use

_LARGEST = float(np.finfo(np.float16).max)


def store_weights(model: ir.Model, names: Set[str]) -> None:
    """Store weights as float16, in place. What float16 cannot hold stays float32.

    Args:
        model: The float32 model.
        names: The weights.
    """
    graph = model.graph
    for node in list(graph):
        if node.op_type == "Gather" and node.inputs[0].name in names:
            _look_up_halves(graph, node)
    for value, array in weights_in_use(graph):
        if value.name in names and _fits(array):
            first = next(node for node in graph if value in node.inputs)
            edit = Editor(graph, first)
            stored = edit.constant(f"{value.name}_float16", array.astype(np.float16))
            wide = edit.add("Cast", stored, to=ir.DataType.FLOAT)
            wide.shape, wide.type = value.shape, value.type
            value.replace_all_uses_with(wide)


def _fits(array: np.ndarray) -> bool:
    """Say whether a weight has no number that float16 lacks."""
    return bool(np.abs(array).max() <= _LARGEST)


def _look_up_halves(graph: ir.Graph, node: ir.Node) -> None:
    """Widen the rows that were looked up, not the table."""
    table, index = node.inputs
    array = weight_of(table)
    if array is None or not _fits(array):
        return
    edit = Editor(graph, node)
    stored = edit.constant(f"{table.name}_float16", array.astype(np.float16))
    rows = edit.add("Gather", stored, index, axis=node.attributes.get_int("axis", 0))
    edit.replace(node.outputs[0], edit.add("Cast", rows, to=ir.DataType.FLOAT))
