"""The weights of a TFLite file, and what they are used for."""

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from kzoo_export.assign import Weight, check_finite, first_use
from kzoo_export.tflite.flatbuffer import constant_of, operation_of
from kzoo_export.tflite.passes.embedding_lookup import is_lookup

_Operation = schema.BuiltinOperator
# Operations whose second input can be an 8-bit weight.
_OPERATIONS = {
    _Operation.FULLY_CONNECTED: "dense",
    _Operation.BATCH_MATMUL: "dense",
    _Operation.EMBEDDING_LOOKUP: "embedding",
    _Operation.CONV_2D: "convolution",
    _Operation.DEPTHWISE_CONV_2D: "convolution",
    _Operation.TRANSPOSE_CONV: "convolution",
}


def weights_by_name(model: Any, smallest: int) -> dict[str, Weight]:
    """List the float32 matrices that some operation reads, and what they are used for.

    Args:
        model: A `ModelT` whose tensors have names of their own.
        smallest: Elements of the smallest matrix to list.

    Returns:
        The weights by the name of the tensor. The path of a weight is its name and those of the
        tensors that are computed with it.

    Raises:
        ValueError: If there is NaN or infinity in one.
    """
    found: dict[str, Weight] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            for place, index in enumerate(operator.inputs):
                tensor = graph.tensors[index]
                array = None if index < 0 else constant_of(model, tensor)
                if array is None or array.ndim < 2 or array.size < smallest:
                    continue
                name = tensor.name.decode()
                known = found.get(name, Weight(name, "other", array.shape[-1]))
                used = operation_with(model, operator) if place == 1 else "other"
                if place == 0 and is_lookup(model, graph, operator, smallest):
                    used = "embedding"
                check_finite(name, used, array)
                results = [graph.tensors[output].name.decode() for output in operator.outputs]
                found[name] = Weight(
                    "; ".join([known.path, *results]),
                    first_use((known.operation, used)),
                    known.width,
                )
    return found


def operation_with(model: Any, operator: Any) -> str:
    """Say what an operation uses its second input for, if that is a weight.

    Args:
        model: A `ModelT`.
        operator: One of its operations.

    Returns:
        One of `OPERATIONS`, or `"other"`.
    """
    code = model.operatorCodes[operator.opcodeIndex]
    return _OPERATIONS.get(operation_of(code), "other")
