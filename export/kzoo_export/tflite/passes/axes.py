"""Means that keep the axes they are taken over.

Some tools drop these axes, compute with one number a row, and shape the results back to multiply
the rows by them. The rewriting of normalization looks for numbers that multiply rows as they are.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.passes.graph import Graph, number_names

_Op = schema.BuiltinOperator
# What computes each number of its result from the numbers at the same place.
_ELEMENTWISE = (_Op.ADD, _Op.SUB, _Op.MUL, _Op.DIV, _Op.NEG, _Op.SQRT, _Op.RSQRT)


def keep_axes(model: Any) -> None:
    """Keep the axes of means that are shaped back later, and compute with all of them, in place.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
    """
    for each in model.subgraphs:
        graph = Graph(model, each)
        # What has no such axes, and the same with them.
        kept: dict[int, int] = {}
        for operator in graph.rewritten():
            if graph.operation(operator) == _Op.MEAN:
                _keep(graph, operator, kept)
            elif graph.operation(operator) in _ELEMENTWISE:
                _compute_on(graph, operator, kept)
            elif graph.operation(operator) == _Op.RESHAPE:
                (result,), before = operator.outputs, kept.get(operator.inputs[0])
                if before is not None and graph.shape(before) == graph.shape(result):
                    graph.redirect(result, before)
    number_names(model)


def _keep(graph: Graph, mean: Any, kept: dict[int, int]) -> None:
    """Let a mean keep its axes, if its results are shaped back."""
    axes = graph.integers(mean.inputs[1])
    options = mean.builtinOptions
    if axes is None or options is None or options.keepDims:
        return
    sizes = list(graph.shape(mean.inputs[0]))
    for axis in axes:
        sizes[axis] = 1
    if not _is_shaped(graph, mean.outputs[0], sizes):
        return
    keeping = copy.deepcopy(mean)
    keeping.builtinOptions.keepDims = True
    _replace(graph, keeping, mean, mean.inputs, tuple(sizes), kept)


def _compute_on(graph: Graph, operator: Any, kept: dict[int, int]) -> None:
    """Compute with axes what is computed without them, from numbers that have them."""
    found = [tensor for tensor in operator.inputs if tensor in kept]
    others = [graph.constant(tensor) for tensor in operator.inputs if tensor not in kept]
    full = {graph.shape(kept[tensor]) for tensor in found}
    flat = {graph.shape(tensor) for tensor in (*found, *operator.outputs)}
    numbers = all(array is not None and array.shape in ((), (1,)) for array in others)
    if len(full) == len(flat) == 1 and numbers:
        inputs = [kept.get(tensor, tensor) for tensor in operator.inputs]
        _replace(graph, operator, operator, inputs, full.pop(), kept)


def _replace(
    graph: Graph,
    made: Any,
    operator: Any,
    inputs: Sequence[int],
    sizes: tuple[int, ...],
    kept: dict[int, int],
) -> None:
    """Put an operation whose result has other axes in place of one, and shape that result."""
    (result,) = operator.outputs
    name = graph.name(result)
    full = graph.repeat(made, inputs, f"{name}/full", sizes)
    shape = graph.add_constant(np.array(graph.shape(result), np.int32), f"{name}/shape")
    flat = graph.compute(_Op.RESHAPE, [full, shape], result, f"{name}/flat")
    graph.redirect(result, flat)
    kept[flat] = full


def _is_shaped(graph: Graph, tensor: int, sizes: Sequence[int]) -> bool:
    """Say whether something that is computed from a tensor number by number gets these sizes."""
    if graph.shape(tensor).count(-1) > 1:
        return False
    for operator in graph.readers(tensor):
        result = operator.outputs[0]
        if graph.operation(operator) == _Op.RESHAPE and graph.shape(result) == tuple(sizes):
            return True
        same = math.prod(graph.shape(result)) == math.prod(graph.shape(tensor))
        if graph.operation(operator) in _ELEMENTWISE and same and _is_shaped(graph, result, sizes):
            return True
    return False
