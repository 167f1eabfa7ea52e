"""The float32 weights of an ONNX graph: names, uses, lookups."""

import hashlib
from collections.abc import Iterator, Mapping, Set

import numpy as np
import onnx_ir as ir

from kzoo_export.assign import Weight, check_finite, first_use
from kzoo_export.onnx.passes.graph import weight_of, weights_in_use
from kzoo_export.recipe import SMALLEST_WEIGHT

# What the weights of operations are used for.
_OPERATIONS = {
    **dict.fromkeys(("MatMul", "Gemm", "Einsum"), "dense"),
    **dict.fromkeys(("Conv", "ConvTranspose"), "convolution"),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), "recurrent"),
}


def name_weights(graph: ir.Graph, weights: Mapping[str, np.ndarray]) -> None:
    """Give constants the paths of the weights they hold, in place.

    Tracers number the constants. A weight is told by its numbers, in the order that Keras has them
    in or in the orders that ONNX takes matrices and kernels of convolutions in. What was computed
    from a weight, such as its product with a scale, keeps its number.

    Args:
        graph: The graph.
        weights: The weights by path.
    """
    paths = {digest: path for path, array in weights.items() for digest in _digests(array)}
    for value, array in list(weights_in_use(graph)):
        name = paths.get(_digest(array), value.name)
        if name != value.name and name not in graph.initializers:
            value.name = name


def _digests(array: np.ndarray) -> Iterator[bytes]:
    if array.size >= SMALLEST_WEIGHT and array.dtype == np.float32:
        yield _digest(array)
        spatial = range(array.ndim - 2)
        if array.ndim > 1:
            yield _digest(array.transpose(-1, -2, *spatial))
        if spatial:
            yield _digest(array.transpose(-2, -1, *spatial))


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


def weights_by_name(graph: ir.Graph) -> dict[str, Weight]:
    """List the float32 weights that some node reads, and what they are used for.

    Args:
        graph: The graph.

    Returns:
        The weights by name, which is also the path of the layer.

    Raises:
        ValueError: If there is NaN or infinity in one.
    """
    found = {}
    for value, array in weights_in_use(graph):
        operation = _operation(value, array.ndim)
        check_finite(str(value.name), operation, array)
        found[value.name] = Weight(value.name, operation, _width(value, array))
    return found


def _operation(value: ir.Value, ndim: int) -> str:
    """Tell what a weight is used for, a tied table that is multiplied as its transpose too."""
    found = []
    for node, _ in value.uses():
        if node.op_type == "Transpose":
            found.append(_operation(node.outputs[0], ndim))
        elif is_lookup(node, value):
            found.append("embedding")
        else:
            found.append(_OPERATIONS.get(node.op_type, "other") if ndim > 1 else "other")
    return first_use(found)


def _width(value: ir.Value, array: np.ndarray) -> int:
    """Count the numbers of a row: what one lookup gives, or what one unit of a product reads."""
    by_column = any(
        node.op_type == "MatMul"
        or (node.op_type == "Gemm" and not node.attributes.get_int("transB", 0))
        for node, _ in value.uses()
    )
    return int(array.shape[-2 if by_column and array.ndim > 1 else -1])


def is_lookup(node: ir.Node, table: ir.Value) -> bool:
    """Tell whether a node looks rows of a matrix up.

    Args:
        node: The node.
        table: A constant.

    Returns:
        True if it does.
    """
    is_gather = node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0
    is_matrix = table.const_value is not None and len(table.const_value.shape) == 2
    return is_gather and node.inputs[0] is table and is_matrix


def lookups(graph: ir.Graph, names: Set[str]) -> Iterator[tuple[ir.Node, np.ndarray]]:
    """Find the nodes that look rows of float32 tables up.

    Args:
        graph: The graph.
        names: The tables to look for.

    Yields:
        Each node with its table (V, D).
    """
    for node in list(graph):
        table = node.inputs[0] if node.inputs else None
        if table is not None and table.name in names and is_lookup(node, table):
            array = weight_of(table)
            if array is not None:
                yield node, array
