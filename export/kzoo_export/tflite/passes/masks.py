"""Bounds for attention masks: a masked logit of -1e9 leaves no integers to the others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.passes.graph import Graph

_Op = schema.BuiltinOperator
# Constants of this size are made to be masks; attention logits are far smaller.
_SMALLEST = 1e4
# A masked key that is this far below the least of all logits has a weight of 2e-9 at most.
_MARGIN = 20.0
# What a mask passes through between its constant and the softmax.
_PASSED = (
    *(_Op.ADD, _Op.SUB, _Op.MUL, _Op.SELECT, _Op.SELECT_V2, _Op.MAXIMUM, _Op.MINIMUM),
    *(_Op.RESHAPE, _Op.TRANSPOSE, _Op.EXPAND_DIMS, _Op.SQUEEZE, _Op.BROADCAST_TO),
)

Ranges = Mapping[str, tuple[float, float]]


def bound_masks(model: Any, ranges: Ranges) -> int:
    """Bring the constants by which logits are masked close to the logits, in place.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        ranges: The least and the largest number of each computed tensor, on samples.

    Returns:
        How many constants were changed.
    """
    changed = 0
    for each in model.subgraphs:
        graph = Graph(model, each)
        found: dict[int, float] = {}
        for operator in graph.graph.operators:
            if graph.operation(operator) == _Op.SOFTMAX:
                bound = _MARGIN + _span(graph, operator.inputs[0], ranges)
                for tensor in _masks(graph, operator.inputs[0]):
                    found[tensor] = max(bound, found.get(tensor, 0.0))
        for tensor, bound in found.items():
            _clip(graph, tensor, bound)
        changed += len(found)
    return changed


def _masks(graph: Graph, tensor: int) -> list[int]:
    """List the constants of a mask's size that a tensor is computed from."""
    array = graph.constant(tensor)
    if array is not None:
        return [tensor] if array.size and np.abs(array).max() >= _SMALLEST else []
    operator = graph.producer(tensor, *_PASSED)
    inputs = operator.inputs if operator is not None else ()
    return sorted({mask for each in inputs for mask in _masks(graph, each)})


def _span(graph: Graph, tensor: int, ranges: Ranges) -> float:
    """Measure between which numbers the logits are, before any mask."""
    low, high = ranges.get(graph.name(tensor), (0.0, 0.0))
    operator = graph.producer(tensor, *_PASSED)
    if max(-low, high) < _SMALLEST or operator is None:
        return max(-low, high) + max(high - low, 0.0) if max(-low, high) < _SMALLEST else 0.0
    return max(_span(graph, each, ranges) for each in operator.inputs)


def _clip(graph: Graph, tensor: int, bound: float) -> None:
    """Change a constant, in a buffer of its own."""
    array = graph.constant(tensor)
    assert array is not None
    clipped = np.clip(np.nan_to_num(array, neginf=-bound, posinf=bound), -bound, bound)
    content = np.ascontiguousarray(clipped, np.float32).reshape(-1).view(np.uint8)
    graph.model.buffers.append(schema.BufferT(data=content))
    graph.graph.tensors[tensor].buffer = len(graph.model.buffers) - 1
