"""The products of an activation with a constant matrix in an ONNX graph."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.edit import weight_of


@dataclasses.dataclass(frozen=True)
class Product:
    """One node that computes activation @ matrix, plus a bias if it is a Gemm.

    `stored` is the constant as the graph has it, `matrix` (K, N) the same as it is multiplied.
    """

    node: ir.Node
    activation: ir.Value
    stored: ir.Value
    matrix: np.ndarray
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
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return Product(node, activation, stored, matrix.T if transposed else matrix, bias)
