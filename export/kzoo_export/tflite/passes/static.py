"""Which operations of a TFLite file run in integers whose scales are found on samples."""

from collections.abc import Collection, Mapping, Set
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.errors import RecipeError
from kzoo_export.recipe import (
    DYNAMIC_INT8,
    FLOAT16,
    FLOAT32,
    STATIC,
    STATIC_INT16,
    Numbers,
    Recipe,
)
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.passes.graph import Graph, number_names
from kzoo_export.tflite.passes.integers import Ranges, operations_with, quantize

_Op = schema.BuiltinOperator
_FLOAT32 = schema.TensorType.FLOAT32
_PRODUCTS = (
    *(_Op.FULLY_CONNECTED, _Op.BATCH_MATMUL, _Op.CONV_2D),
    *(_Op.DEPTHWISE_CONV_2D, _Op.TRANSPOSE_CONV),
)
# What moves numbers without computing any: they stay as they come.
_MOVES = (
    *(_Op.RESHAPE, _Op.TRANSPOSE, _Op.SLICE, _Op.STRIDED_SLICE, _Op.SPLIT, _Op.UNPACK),
    *(_Op.EXPAND_DIMS, _Op.SQUEEZE, _Op.BROADCAST_TO, _Op.MAX_POOL_2D),
    *(_Op.SPACE_TO_DEPTH, _Op.RESIZE_NEAREST_NEIGHBOR),
)
# What has kernels for int8 and none for int16.
_INT8_ALONE = (_Op.HARD_SWISH, _Op.SQUARED_DIFFERENCE, _Op.SPACE_TO_DEPTH)
# By how much ranges of 16 bits are wider than on the calibration samples.
_ROOM = 2.0
_NAMES = flatbuffer.names_of(_Op)


class Operation(NamedTuple):
    """An operation that computes floats: what it does, the names of what it reads and computes."""

    kind: str
    is_product: bool
    is_move: bool
    has_int16: bool
    inputs: tuple[str, ...]
    results: tuple[str, ...]


def float_operations(model: Any) -> dict[str, Operation]:
    """List the operations of the first graph that compute floats.

    Args:
        model: A `ModelT` whose tensors have names of their own.

    Returns:
        The operations in their order, by the name of their first result.
    """
    graph, found = model.subgraphs[0], {}

    def names(tensors: Collection[int]) -> tuple[str, ...]:
        return tuple(graph.tensors[index].name.decode() for index in tensors if index >= 0)

    for operator in graph.operators:
        if not len(operator.outputs) or graph.tensors[operator.outputs[0]].type != _FLOAT32:
            continue
        code = flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex])
        results = names(operator.outputs)
        found[results[0]] = Operation(
            kind=_NAMES[code],
            is_product=code in _PRODUCTS,
            is_move=code in _MOVES,
            has_int16=code not in _INT8_ALONE,
            inputs=names(operator.inputs),
            results=results,
        )
    return found


def choose_operations(
    model: Any, recipe: Recipe, chosen: Mapping[Numbers, Set[str]]
) -> dict[str, Numbers]:
    """Choose the numbers of every operation by a recipe.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        recipe: How numbers are stored and computed.
        chosen: The names of the weights by the numbers they get.

    Returns:
        The numbers of each operation, by the name of its first result.
    """
    found = operations_with(model, chosen)
    if not recipe.is_static:
        return found
    kept = chosen[FLOAT32] | chosen[FLOAT16]
    for name, operation in float_operations(model).items():
        if not kept.isdisjoint(operation.inputs):
            continue
        if name not in found:
            path = "; ".join(operation.results)
            covering = [rule for rule in recipe.rules if rule.covers(path, "other")]
            if covering and covering[-1].numbers in STATIC:
                found[name] = covering[-1].numbers
        elif operation.kind == "EMBEDDING_LOOKUP" and found[name] in STATIC:
            # Its kernel reads integers and makes floats, which the next operation rounds.
            found[name] = DYNAMIC_INT8
    return found


def with_int16(
    operations: Mapping[str, Numbers], names: Collection[str], table: Mapping[str, Operation]
) -> dict[str, Numbers]:
    """Give some operations activations of 16 bits, if their kernels have them.

    What only moves numbers follows its input.

    Args:
        operations: The numbers of each operation, by the name of its first result.
        names: Those that get 16 bits.
        table: All operations that compute floats, in their order.

    Returns:
        The numbers of each operation.
    """
    wide = [name for name in names if table[name].has_int16]
    changed = dict(operations) | dict.fromkeys(wide, STATIC_INT16)
    by_result = {result: name for name, each in table.items() for result in each.results}
    for name, operation in table.items():
        source = next((by_result[each] for each in operation.inputs if each in by_result), None)
        if operation.is_move and changed.get(name) in STATIC and source is not None:
            numbers = changed.get(source, DYNAMIC_INT8)
            changed[name] = numbers if numbers in STATIC else STATIC_INT16
    return changed


def quantize_operations(
    model: Any, operations: Mapping[str, Numbers], ranges: Ranges, float_io: bool = True
) -> Any:
    """Quantize operations, with room for numbers that no sample shows where 16 bits make it cheap.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        operations: The numbers of each operation, by the name of its first result.
        ranges: The least and the largest number of each computed tensor. Of what an operation of 8
            bits reads or computes, they stay as they are.
        float_io: Whether inputs and outputs stay float.

    Returns:
        The quantized `ModelT`.
    """
    narrow = {
        tensor
        for name, operation in float_operations(model).items()
        if operations.get(name) != STATIC_INT16
        for tensor in (*operation.inputs, *operation.results)
    }
    wider = {
        name: (low, high) if name in narrow else (low * _ROOM, high * _ROOM)
        for name, (low, high) in ranges.items()
    }
    return quantize(model, operations, wider, float_io)


def take_integers(model: Any, name: str) -> None:
    """Let a quantized model take integers where it quantizes an input first of all, in place.

    Args:
        model: The quantized `ModelT`.
        name: Name of the recipe, for the message.

    Raises:
        RecipeError: If an input or an output stays float.
    """
    for each in model.subgraphs:
        graph = Graph(model, each)
        for tensor in list(each.inputs):
            readers = graph.readers(tensor)
            if [graph.operation(reader) for reader in readers] == [_Op.QUANTIZE]:
                graph.take_in(tensor, readers[0])
        sides = (*each.inputs, *each.outputs)
        kept = [graph.name(tensor) for tensor in sides if each.tensors[tensor].type == _FLOAT32]
        if kept:
            raise RecipeError(
                f"The recipe {name!r} has `float_io=False`, and {', '.join(kept)} cannot be "
                "integers: float operations read or compute them, or several that have other scales"
            )


def separate_outputs(model: Any) -> None:
    """Give every output that an operation reads as well a tensor of its own, in place.

    The quantizer would let that operation read the float output.

    Args:
        model: A float32 `ModelT`.
    """
    for each in model.subgraphs:
        graph = Graph(model, each)
        for tensor in sorted({int(output) for output in each.outputs}):
            shape = graph.shape(tensor)
            if graph.readers(tensor) and shape.count(-1) <= 1:
                name = graph.name(tensor)
                sizes = graph.add_constant(np.array(shape, np.int32), f"{name}/shape")
                graph.put_out(tensor, graph.compute(_Op.RESHAPE, [tensor, sizes], tensor, name))
    number_names(model)
