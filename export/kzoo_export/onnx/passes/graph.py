"""Read and edit an ONNX graph: its weights, its products with them, new nodes and constants."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.recipe import SMALLEST_WEIGHT


class Editor:
    """Adds nodes in front of one node of a graph."""

    def __init__(self, graph: ir.Graph, place: ir.Node) -> None:
        self.graph = graph
        self.place = place

    def add(
        self,
        op: str,
        *inputs: ir.Value | None,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> Any:
        """Add a node.

        Args:
            op: The operation.
            *inputs: Its inputs.
            outputs: How many outputs it has.
            domain: The domain of the operation: by default the standard one.
            **attributes: Its attributes.

        Returns:
            The output, or a tuple of them.
        """
        if domain:
            self.graph.opset_imports.setdefault(domain, 1)
        node = ir.node(op, list(inputs), attributes, domain=domain, num_outputs=outputs)
        self.graph.insert_before(self.place, node)
        return node.outputs[0] if outputs == 1 else tuple(node.outputs)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """Add a constant, or find the equal one that is already there.

        Args:
            name: Its name; one that is taken by other numbers gets a suffix.
            array: Its elements.

        Returns:
            The constant.
        """
        while name in self.graph.initializers:
            existing = self.graph.initializers[name]
            if np.array_equal(existing.const_value.numpy(), array):
                return existing
            name = f"{name}_"
        # A scalar has no axis, which `ascontiguousarray` gives it.
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(value)
        return value

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Put a value in place of another one, and drop the node that made it.

        Args:
            old: The output of the edited node, or of one after it.
            new: What takes its place; it gets the name and the shape.
        """
        name = old.name
        new.shape, new.type = old.shape, old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        self.graph.remove(old.producer(), safe=True)
        new.name = name


def weight_of(value: ir.Value | None) -> np.ndarray | None:
    """Read a value as a float32 weight.

    Args:
        value: An input of a node.

    Returns:
        The array, or `None` if the value is not a constant, not float32, or too small to matter.
    """
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    tensor = value.const_value
    if tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST_WEIGHT:
        return None
    return tensor.numpy()


def weights_in_use(graph: ir.Graph) -> Iterator[tuple[ir.Value, np.ndarray]]:
    """List the float32 weights that some node still reads.

    Args:
        graph: The graph.

    Yields:
        Each constant with its array.
    """
    for value in list(graph.initializers.values()):
        array = weight_of(value)
        if array is not None and value.uses():
            yield value, array


@dataclasses.dataclass(frozen=True)
class Product:
    """One activation @ matrix, plus a bias if one is added at once.

    `stored` is the constant as the graph has it, `matrix` (K, N) the same as it is multiplied, its
    transpose if `is_transposed`, `output` the result with the bias.
    """

    node: ir.Node
    activation: ir.Value
    stored: ir.Value
    matrix: np.ndarray
    output: ir.Value
    bias: ir.Value | None = None
    is_transposed: bool = False


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
    return Product(node, activation, stored, matrix, output, bias, transposed)


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
