"""Look rows up with EMBEDDING_LOOKUP, whose kernel reads quantized tables, unlike GATHER's."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.flatbuffer import (
    add_constant,
    add_tensor,
    constant_of,
    open_shape_of,
    operation_of,
    operator_code,
)

_INT32 = schema.TensorType.INT32
_Operation = schema.BuiltinOperator
_Options = schema.BuiltinOptions


def use_embedding_lookup(model: Any, smallest: int) -> None:
    """Rewrite every GATHER of rows of a constant float32 matrix, in place.

    It becomes RESHAPE of the ids to one axis, EMBEDDING_LOOKUP and RESHAPE back, with the same
    numbers. Lookups along another axis, with batch axes, by ids that are not int32, or in tables
    that are no matrices stay as they are.

    Args:
        model: A `ModelT`.
        smallest: Elements of the smallest table to rewrite.
    """
    for graph in model.subgraphs:
        operators: list[Any] = []
        for operator in graph.operators:
            if is_lookup(model, graph, operator, smallest):
                operators += _look_up(model, graph, operator)
            else:
                operators.append(operator)
        graph.operators = operators


def is_lookup(model: Any, graph: Any, operator: Any, smallest: int) -> bool:
    """Tell whether an operation is a GATHER that can be rewritten.

    Args:
        model: A `ModelT`.
        graph: The graph of the operation.
        operator: The operation.
        smallest: Elements of the smallest table to rewrite.

    Returns:
        True if it looks up rows of a large constant matrix.
    """
    if operation_of(model.operatorCodes[operator.opcodeIndex]) != _Operation.GATHER:
        return False
    options = operator.builtinOptions
    if options is not None and (options.axis != 0 or options.batchDims != 0):
        return False
    table, ids = (graph.tensors[index] for index in operator.inputs)
    array = constant_of(model, table)
    is_table = array is not None and array.ndim == 2 and array.size >= smallest
    return is_table and ids.type == _INT32


def _look_up(model: Any, graph: Any, operator: Any) -> list[Any]:
    """Make the operations that replace a GATHER."""
    table, ids = operator.inputs
    result = graph.tensors[operator.outputs[0]]
    shape = open_shape_of(result)
    width = shape[-1]
    number = -1 if -1 in shape else int(np.prod(shape[:-1], dtype=np.int64))
    name = result.name.decode()

    def add(operation: int, inputs: list[int], outputs: list[int], *options: Any) -> Any:
        return schema.OperatorT(operator_code(model, operation, 1), inputs, outputs, *options)

    if len(shape) == 2:
        return [add(_Operation.EMBEDDING_LOOKUP, [ids, table], operator.outputs)]
    flat = add_tensor(graph, f"{name}/ids", _INT32, (number,))
    found = add_tensor(graph, f"{name}/rows", result.type, (number, width))
    flat_shape = add_constant(model, graph, f"{name}/ids_shape", np.array([number], np.int32))
    if shape.count(-1) <= 1:
        full_shape = add_constant(model, graph, f"{name}/shape", np.array(shape, np.int32))
        computed = []
    else:
        # The shape of the ids and the width of a row, known when the file runs.
        last = add_constant(model, graph, f"{name}/width", np.array([width], np.int32))
        first = add_tensor(graph, f"{name}/first_axes", _INT32, (len(shape) - 1,))
        full_shape = add_tensor(graph, f"{name}/shape", _INT32, (len(shape),))
        computed = [
            add(
                *(_Operation.SHAPE, [ids], [first]),
                *(_Options.ShapeOptions, schema.ShapeOptionsT(outType=_INT32)),
            ),
            add(
                *(_Operation.CONCATENATION, [first, last], [full_shape]),
                *(_Options.ConcatenationOptions, schema.ConcatenationOptionsT(axis=0)),
            ),
        ]
    return [
        *computed,
        add(_Operation.RESHAPE, [ids, flat_shape], [flat]),
        add(_Operation.EMBEDDING_LOOKUP, [flat, table], [found]),
        add(_Operation.RESHAPE, [found, full_shape], operator.outputs),
    ]
