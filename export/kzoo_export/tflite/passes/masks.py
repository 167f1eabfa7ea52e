"""Bounds for attention masks: a masked logit of -1e9 leaves no integers to the others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.passes.graph import Graph

_Op = schema.BuiltinOperator
# Constants of this size are made to be masks; attention logits are far smaller.
_SMALLEST = 1e4
_LARGE = 1e9
# A masked key that is this far below the least of all logits has a weight of 2e-9 at most.
_MARGIN = 20.0
# What a mask passes through between its constant and the softmax.
_PASSED = (
    *(_Op.ADD, _Op.SUB, _Op.MUL, _Op.SELECT, _Op.SELECT_V2, _Op.MAXIMUM, _Op.MINIMUM),
    *(_Op.RESHAPE, _Op.TRANSPOSE, _Op.EXPAND_DIMS, _Op.SQUEEZE, _Op.BROADCAST_TO),
)

Ranges = Mapping[str, tuple[float, float]]


def find_masks(model: Any) -> list[int]:
    """List the constants by which attention logits are masked with numbers that are too large.

    Args:
        model: A float32 `ModelT`.

    Returns:
        The tensors, those of one graph after the other.
    """
    graphs = (Graph(model, each) for each in model.subgraphs)
    return [tensor for graph in graphs for _, tensor in _masked(graph)]


def make_masks_finite(model: Any) -> None:
    """Mask by a large number instead of infinity, so that tensors have ranges, in place.

    Args:
        model: A float32 `ModelT`.
    """
    for each in model.subgraphs:
        graph = Graph(model, each)
        for tensor in {mask for _, mask in _masked(graph)}:
            array = graph.weight(tensor)
            graph.set_constant(tensor, np.nan_to_num(array, neginf=-_LARGE, posinf=_LARGE))


def bound_masks(model: Any, ranges: Ranges) -> None:
    """Bring the constants by which logits are masked close to the logits, in place.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        ranges: The least and the largest number of each computed tensor, on samples.
    """
    for each in model.subgraphs:
        graph = Graph(model, each)
        found: dict[int, float] = {}
        for logits, tensor in _masked(graph):
            bound = _MARGIN + _span(graph, logits, ranges)
            found[tensor] = max(bound, found.get(tensor, 0.0))
        for tensor, bound in found.items():
            graph.set_constant(tensor, graph.weight(tensor).clip(-bound, bound))


def _masked(graph: Graph) -> list[tuple[int, int]]:
    """List what softmax reads, with each mask it is computed from."""
    softmax = (op for op in graph.graph.operators if graph.operation(op) == _Op.SOFTMAX)
    return [(op.inputs[0], mask) for op in softmax for mask in _masks(graph, op.inputs[0])]


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
