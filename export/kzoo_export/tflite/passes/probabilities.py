"""Attention probabilities in two parts of 8 bits: the few large ones, and the many small ones.

With 128 keys the average probability is two steps of 8 bits between 0 and 1, and the many that are
smaller are rounded to nothing or to twice themselves. Numbers up to a threshold have a scale of
their own instead, which costs a second product of 8 bits with the values, and changes nothing in
float: `p v = max(p - t, 0) v + min(p, t) v`.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.passes.graph import Graph, rewrite

_Op = schema.BuiltinOperator
# A row has 15 numbers above the threshold at most, whose steps stay 1/255; those of all others are
# this many times as small.
_THRESHOLD = 1 / 16
# Where there are fewer keys, probabilities are no smaller than a step.
_FEWEST_KEYS = 32
# What probabilities may pass through on their way to the values.
_MOVES = (_Op.RESHAPE, _Op.TRANSPOSE)


def split_probabilities(model: Any) -> None:
    """Rewrite the products of softmax with values that are computed, in place.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
    """
    rewrite(model, _split)


def _split(graph: Graph, operator: Any) -> None:
    if graph.operation(operator) != _Op.BATCH_MATMUL:
        return
    for place, tensor in enumerate(operator.inputs):
        if not _are_probabilities(graph, tensor):
            continue
        result = operator.outputs[0]
        name = graph.name(result)
        threshold = graph.add_constant(np.array(_THRESHOLD, np.float32), f"{name}/threshold")
        relu = schema.ActivationFunctionType.RELU
        large = graph.compute(_Op.SUB, [tensor, threshold], tensor, f"{name}/large", relu)
        small = graph.compute(_Op.SUB, [tensor, large], tensor, f"{name}/small")
        products = []
        for part in (large, small):
            inputs = list(operator.inputs)
            inputs[place] = part
            products.append(graph.repeat(operator, inputs, f"{graph.name(part)}_product"))
        graph.redirect(result, graph.compute(_Op.ADD, products, result, f"{name}/sum"))
        return


def _are_probabilities(graph: Graph, tensor: int) -> bool:
    """Tell whether a tensor is what a softmax over enough keys computes."""
    while (move := graph.producer(tensor, *_MOVES)) is not None:
        tensor = move.inputs[0]
    shape = graph.shape(tensor)
    enough = bool(shape) and not 0 <= shape[-1] < _FEWEST_KEYS
    return enough and graph.producer(tensor, _Op.SOFTMAX) is not None
