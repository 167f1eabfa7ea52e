"""Small edits of an ONNX graph: constants, new nodes before a node, a value in place of another."""

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
        tensor = ir.tensor(np.ascontiguousarray(array), name=name)
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
