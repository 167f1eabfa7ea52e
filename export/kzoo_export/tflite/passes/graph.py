"""The operations of one graph of a TFLite file, by what they compute and what they read."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite import flatbuffer

_Operation = schema.BuiltinOperator
_Options = schema.BuiltinOptions
# The options that an operation must have, even where all are defaults.
_OPTIONS = {
    _Operation.ADD: (_Options.AddOptions, schema.AddOptionsT),
    _Operation.SUB: (_Options.SubOptions, schema.SubOptionsT),
    _Operation.MUL: (_Options.MulOptions, schema.MulOptionsT),
}


class Graph:
    """A graph that is being rewritten: tensors are indices, operations are `OperatorT`.

    A pass walks through `rewritten`, adds operations by `compute` and the like, and puts what reads
    a tensor onto another one by `redirect`.

    Args:
        model: The `ModelT` that has the graph.
        graph: One of its `SubGraphT`.
    """

    def __init__(self, model: Any, graph: Any) -> None:
        self.model = model
        self.graph = graph
        self.producers = {output: op for op in graph.operators for output in op.outputs}
        self._added: list[Any] = []

    def operation(self, operator: Any) -> int:
        """Tell what an operation is, as a `BuiltinOperator`."""
        return flatbuffer.operation_of(self.model.operatorCodes[operator.opcodeIndex])

    def producer(self, tensor: int, *operations: int) -> Any | None:
        """Find the operation that computes a tensor, if it is one of these, and that alone."""
        found = self.producers.get(tensor)
        if found is None or self.operation(found) not in operations:
            return None
        return None if getattr(found.builtinOptions, "fusedActivationFunction", 0) else found

    def readers(self, tensor: int) -> list[Any]:
        """List the operations that read a tensor, without those that were just added."""
        return [operator for operator in self.graph.operators if tensor in operator.inputs]

    def constant(self, tensor: int) -> np.ndarray | None:
        """Read a float32 constant; `None` where the tensor is anything else."""
        return flatbuffer.constant_of(self.model, self.graph.tensors[tensor])

    def integers(self, tensor: int) -> list[int] | None:
        """Read an int32 constant; `None` where the tensor is computed."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return None if data is None else np.asarray(data, np.uint8).view(np.int32).tolist()

    def weight(self, tensor: int) -> np.ndarray:
        """Read a float32 constant that is known to be one."""
        array = self.constant(tensor)
        assert array is not None, self.name(tensor)
        return array

    def set_constant(self, tensor: int, array: np.ndarray) -> None:
        """Give a constant other numbers of the same shape; tensors that shared its own keep them.

        Args:
            tensor: The constant.
            array: The numbers, stored as float32.
        """
        content = np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint8)
        changed = self.graph.tensors[tensor]
        users = (each.buffer for graph in self.model.subgraphs for each in graph.tensors)
        if sum(buffer == changed.buffer for buffer in users) == 1:
            self.model.buffers[changed.buffer].data = content
        else:
            self.model.buffers.append(schema.BufferT(data=content))
            changed.buffer = len(self.model.buffers) - 1

    def name(self, tensor: int) -> str:
        """Read the name of a tensor."""
        return str(self.graph.tensors[tensor].name.decode())

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Read the shape of a tensor, with -1 for an open axis."""
        return flatbuffer.open_shape_of(self.graph.tensors[tensor])

    def rewritten(self) -> Iterator[Any]:
        """Walk through the operations; those that are added meanwhile come after the current one.

        Yields:
            One operation after the other. What nothing reads in the end is removed.
        """
        kept: list[Any] = []
        for operator in self.graph.operators:
            self._added = []
            yield operator
            kept += [operator, *self._added]
        self.graph.operators = kept
        self._remove_unread()

    def compute(
        self, operation: int, inputs: Sequence[int], like: int, name: str, activation: int = 0
    ) -> int:
        """Add an operation.

        Args:
            operation: A `BuiltinOperator`.
            inputs: What it reads.
            like: A tensor with the shape and type of the result.
            name: Name of the result.
            activation: The `ActivationFunctionType` of ADD, SUB or MUL; by default none.

        Returns:
            The result.
        """
        code = flatbuffer.operator_code(self.model, operation, 1)
        operator = schema.OperatorT(code)
        if operation in _OPTIONS:
            operator.builtinOptionsType, options = _OPTIONS[operation]
            operator.builtinOptions = options()
            operator.builtinOptions.fusedActivationFunction = activation
        return self._add(operator, inputs, like, name)

    def repeat(
        self,
        operator: Any,
        inputs: Sequence[int],
        name: str,
        shape: tuple[int, ...] | None = None,
    ) -> int:
        """Add an operation that does the same to other inputs.

        Args:
            operator: The operation.
            inputs: What the new one reads.
            name: Name of the result.
            shape: Its shape, where it is not that of the operation's result.

        Returns:
            The result.
        """
        return self._add(copy.deepcopy(operator), inputs, operator.outputs[0], name, shape)

    def add_constant(self, array: np.ndarray, name: str) -> int:
        """Add a constant of float32 or int32."""
        return flatbuffer.add_constant(self.model, self.graph, name, array)

    def redirect(self, old: int, new: int) -> None:
        """Let all that reads one tensor read another, but what was added for the new one.

        Args:
            old: What is read so far.
            new: What takes its place.
        """
        for operator in self.graph.operators:
            operator.inputs = [new if tensor == old else tensor for tensor in operator.inputs]
        self._replace_output(old, new)

    def put_out(self, old: int, new: int) -> None:
        """Give a graph another output, computed by operations that were just added.

        Args:
            old: The output so far.
            new: What takes its place.
        """
        self.graph.operators += self._added
        self._added = []
        self._replace_output(old, new)

    def take_in(self, old: int, operator: Any) -> None:
        """Give a graph the result of the one operation that reads an input as its input.

        Args:
            old: The input so far.
            operator: The operation, which is removed.
        """
        new = operator.outputs[0]
        self.graph.operators = [each for each in self.graph.operators if each is not operator]
        self.graph.inputs = [new if tensor == old else tensor for tensor in self.graph.inputs]
        for signature in self._signatures():
            for entry in signature.inputs:
                entry.tensorIndex = new if entry.tensorIndex == old else entry.tensorIndex

    def _signatures(self) -> Iterator[Any]:
        for signature in self.model.signatureDefs or ():
            if self.model.subgraphs[signature.subgraphIndex] is self.graph:
                yield signature

    def _replace_output(self, old: int, new: int) -> None:
        self.graph.outputs = [new if tensor == old else tensor for tensor in self.graph.outputs]
        for signature in self._signatures():
            for entry in signature.outputs:
                entry.tensorIndex = new if entry.tensorIndex == old else entry.tensorIndex

    def _add(
        self,
        operator: Any,
        inputs: Sequence[int],
        like: int,
        name: str,
        shape: tuple[int, ...] | None = None,
    ) -> int:
        tensor = self.graph.tensors[like]
        shape = self.shape(like) if shape is None else shape
        result = flatbuffer.add_tensor(self.graph, name, tensor.type, shape)
        operator.inputs, operator.outputs = list(inputs), [result]
        self._added.append(operator)
        self.producers[result] = operator
        return result

    def _remove_unread(self) -> None:
        """Remove operations whose results are read by nothing, the last ones first."""
        read = set(self.graph.outputs)
        kept = []
        for operator in reversed(self.graph.operators):
            if read.intersection(operator.outputs) or not len(operator.outputs):
                read.update(operator.inputs)
                kept.append(operator)
        self.graph.operators = kept[::-1]


def number_names(model: Any) -> None:
    """Give every tensor a name of its own, in place.

    Args:
        model: A `ModelT`.
    """
    taken: set[bytes] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            base = name = tensor.name or b"tensor"
            number = 1
            while name in taken:
                name, number = b"%s_%d" % (base, number), number + 1
            taken.add(name)
            tensor.name = name


def rewrite(model: Any, step: Callable[[Graph, Any], None]) -> None:
    """Apply one step to every operation of every graph of a model, in place.

    New tensors get names of their own.

    Args:
        model: A `ModelT`.
        step: Called with the graph and one operation after the other.
    """
    for each in model.subgraphs:
        graph = Graph(model, each)
        for operator in graph.rewritten():
            step(graph, operator)
    number_names(model)
