"""The products of an activation with a constant matrix in an ONNX graph."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes.edit import weight_of


@dataclasses.dataclass(frozen=True)
class Product:
    """One activation @ matrix, plus a bias if one is added at once.

    `stored` is the constant as the graph has it, `matrix` (K, N) the same as it is multiplied,
    `output` the result with the bias.
    """

    node: ir.Node
    activation: ir.Value
    stored: ir.Value
    matrix: np.ndarray
    output: ir.Value
    bias: ir.Value | None = None


def products(graph: ir.Graph) -> Iterator[Product]:
    """Find the products with constant matrices.

    Args:
        graph: The graph.

    Yields:
        The products in the order of the graph.
    """
    for node in list(graph):
        product = _product(node)
        if product is not None:
            yield product


def _product(node: ir.Node) -> Product | None:
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("MatMul", "Gemm"):
        return None
    activation, stored = node.inputs[0], node.inputs[1]
    transposed = node.attributes.get_int("transB", 0) == 1
    if stored.producer() is not None and stored.producer().op_type == "Transpose":
        # A tied table, multiplied as its transpose.
        stored, transposed = stored.producer().inputs[0], not transposed
    matrix = weight_of(stored)
    if matrix is None or matrix.ndim != 2 or activation.const_value is not None:
        return None
    plain = node.attributes.get_int("transA", 0) == 0 and all(
        node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta")
    )
    if not plain:
        return None
    output, bias = _biased(node)
    matrix = matrix.T if transposed else matrix
    return Product(node, activation, stored, matrix, output, bias)


def _biased(node: ir.Node) -> tuple[ir.Value, ir.Value | None]:
    """Find the bias of a product and the value that includes it."""
    output = node.outputs[0]
    if node.op_type == "Gemm":
        return output, node.inputs[2] if len(node.inputs) > 2 else None
    addition = only_use(output, "Add")
    if addition is not None:
        for other in addition.inputs:
            if is_row(other):
                return addition.outputs[0], other
    return output, None


def only_use(value: ir.Value, op: str) -> ir.Node | None:
    """Find the one node that uses a value.

    Args:
        value: The output of some node.
        op: The operation the node must be.

    Returns:
        The node, or `None` if the value has other uses.
    """
    users = {use.node for use in value.uses()}
    if value.is_graph_output() or len(users) != 1:
        return None
    (user,) = users
    return user if user.op_type == op else None


def is_row(value: ir.Value) -> bool:
    """Say whether a value is a constant with one axis, such as a bias.

    Args:
        value: The value.

    Returns:
        True if it is.
    """
    return value.const_value is not None and len(value.const_value.shape) == 1
