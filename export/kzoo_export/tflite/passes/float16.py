"""Store the weights of a TFLite graph as float16; the arithmetic stays float32.

Each is widened by one DEQUANTIZE at the head of the graph that reads it, which the runtime runs
once. Outputs and what float16 cannot hold stay float32.
"""

from collections.abc import Set
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.flatbuffer import add_tensor, constant_of, operator_code, shape_of

_LARGEST = float(np.finfo(np.float16).max)


def store_weights(model: Any, names: Set[str]) -> None:
    """Store weights as float16, in place. What float16 cannot hold stays float32.

    Args:
        model: A `ModelT`.
        names: The names of their tensors.
    """
    stored = {
        tensor.buffer
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.name.decode() in names and _fits(constant_of(model, tensor))
    } - _kept(model)
    for graph in model.subgraphs:
        widened = [
            _widen(model, graph, index)
            for index, tensor in enumerate(list(graph.tensors))
            if tensor.buffer in stored and constant_of(model, tensor) is not None
        ]
        graph.operators = [*widened, *graph.operators]
    for index in stored:
        buffer = model.buffers[index]
        buffer.data = buffer.data.view(np.float32).astype(np.float16).view(np.uint8)


def _kept(model: Any) -> set[int]:
    """List the buffers of constants that are outputs: no runtime takes computed ones there."""
    return {graph.tensors[index].buffer for graph in model.subgraphs for index in graph.outputs}


def _fits(array: np.ndarray | None) -> bool:
    """Say whether a constant has no number that float16 lacks."""
    return array is not None and bool(np.abs(array).max() <= _LARGEST)


def _widen(model: Any, graph: Any, index: int) -> Any:
    """Turn a constant into a computed tensor; the constant it is computed from takes its buffer."""
    tensor = graph.tensors[index]
    name = f"{tensor.name.decode()}_float16"
    half = add_tensor(graph, name, schema.TensorType.FLOAT16, shape_of(tensor), tensor.buffer)
    tensor.buffer = 0
    code = operator_code(model, schema.BuiltinOperator.DEQUANTIZE, 3)
    return schema.OperatorT(code, [half], [index])
