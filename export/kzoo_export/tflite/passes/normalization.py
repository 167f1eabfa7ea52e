"""Normalization in a form that keeps its accuracy in integers.

LayerNorm divides by the root of a mean of squares. In integers all rows share one scale, and the
squares of the few rows with outliers are thousands of times as large as those of the rest, whose
mean is rounded away. So everything is divided twice: by the root that came out, however coarse,
and then by the root of the mean square of that quotient, which is close to 1 in all rows. This
holds where the largest row is up to about 60 times as large as the smallest: LiteRT looks roots up
in a table of 256 entries, below the first of which they come out as those of the smallest row.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.passes.axes import keep_axes
from kzoo_export.tflite.passes.graph import Graph, rewrite

_Op = schema.BuiltinOperator
# An epsilon that is below this share of any mean of squares is left out of the second quotient.
_NEGLIGIBLE = 1e-7
# The first quotient of rows that are much smaller than the largest is up to this much too large.
_COARSE = 4.0


def normalize_twice(model: Any) -> dict[str, float]:
    """Rewrite all normalizations of the mean square, in place.

    With `r = 1 / sqrt(mean(c^2) + e)` and `y = c r`, it is `c r = y / sqrt(mean(y^2) + e r^2)`.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.

    Returns:
        By how much to widen the ranges of new tensors, by their names: rounding of what comes
        before makes them larger than any sample shows.
    """
    wider: dict[str, float] = {}
    keep_axes(model)
    rewrite(model, _square_by_multiplying)
    rewrite(model, _center_first)
    rewrite(model, lambda graph, operator: wider.update(_divide_again(graph, operator)))
    return wider


def _square_by_multiplying(graph: Graph, operator: Any) -> None:
    """Compute `a^2` and `(a - b)^2` as products, which have kernels of 16 bits."""
    result = operator.outputs[0]
    if graph.operation(operator) == _Op.SQUARE:
        base = operator.inputs[0]
    elif graph.operation(operator) == _Op.SQUARED_DIFFERENCE:
        base = graph.compute(_Op.SUB, operator.inputs, result, f"{graph.name(result)}/centered")
    else:
        return
    square = graph.compute(_Op.MUL, [base, base], result, f"{graph.name(result)}/square")
    graph.redirect(result, square)


def _center_first(graph: Graph, operator: Any) -> None:
    """Compute `x g + (b - m g)` as `(x - m) g + b`: nothing large is subtracted from its like."""
    if graph.operation(operator) != _Op.ADD:
        return
    name = graph.name(operator.outputs[0])
    for product, rest in (operator.inputs, operator.inputs[::-1]):
        for lowered, shift in _terms(graph, rest):
            found = _common_factor(graph, product, lowered)
            if found is None:
                continue
            values, mean, factor = found
            centered = _difference(graph, values, mean)
            if centered is None:
                centered = graph.compute(_Op.SUB, [values, mean], values, f"{name}/centered")
            result = graph.compute(_Op.MUL, [centered, factor], values, f"{name}/normalized")
            if shift is not None:
                result = graph.repeat(operator, [result, shift], f"{name}/shifted")
            graph.redirect(operator.outputs[0], result)
            return


def _terms(graph: Graph, tensor: int) -> Iterator[tuple[int, int | None]]:
    """List what a tensor may be the sum of: itself and nothing, or both of its terms."""
    yield tensor, None
    added = graph.producer(tensor, _Op.ADD)
    if added is not None:
        first, second = added.inputs
        yield from ((first, second), (second, first))


def _common_factor(graph: Graph, product: int, lowered: int) -> tuple[int, int, int] | None:
    """Read x, m and g of `x g` and `(-m) g`."""
    scaled, negative = (graph.producer(each, _Op.MUL) for each in (product, lowered))
    if scaled is None or negative is None:
        return None
    for values, factor in itertools.permutations(scaled.inputs):
        for mean, other in itertools.permutations(negative.inputs):
            positive = _negated(graph, mean)
            if other == factor and positive is not None:
                return values, positive, factor
    return None


def _negated(graph: Graph, tensor: int) -> int | None:
    """Read x of `-x` or `0 - x`."""
    negation = graph.producer(tensor, _Op.NEG, _Op.SUB)
    if negation is None:
        return None
    *first, last = negation.inputs
    zeros = [graph.constant(each) for each in first]
    return last if all(array is not None and not array.any() for array in zeros) else None


def _difference(graph: Graph, first: int, second: int) -> int | None:
    """Find a difference that is computed already."""
    for tensor, operator in graph.producers.items():
        if list(operator.inputs) == [first, second] and graph.operation(operator) == _Op.SUB:
            return tensor
    return None


def _divide_again(graph: Graph, operator: Any) -> dict[str, float]:
    """Correct one quotient by the root of a mean square."""
    if graph.operation(operator) != _Op.RSQRT:
        return {}
    found = _mean_square(graph, operator.inputs[0])
    if found is None:
        return {}
    mean, values, epsilon = found
    root = operator.outputs[0]
    name = graph.name(root)
    quotient = graph.compute(_Op.MUL, [values, root], values, f"{name}/quotient")
    square = graph.compute(_Op.MUL, [quotient, quotient], values, f"{name}/square")
    near_one = [graph.repeat(mean, [square, mean.inputs[1]], f"{name}/mean")]
    if epsilon > _NEGLIGIBLE:
        constant = graph.add_constant(np.array(epsilon, np.float32), f"{name}/epsilon")
        small = graph.compute(_Op.MUL, [root, constant], root, f"{name}/small")
        share = graph.compute(_Op.MUL, [small, root], root, f"{name}/share")
        near_one.append(graph.compute(_Op.ADD, [near_one[0], share], root, f"{name}/sum"))
    correction = graph.repeat(operator, [near_one[-1]], f"{name}/correction")
    wider = dict.fromkeys([quotient, correction], _COARSE)
    wider |= dict.fromkeys([square, *near_one], _COARSE**2)
    for reader in graph.readers(root):
        other = sum(reader.inputs) - root if graph.operation(reader) == _Op.MUL else None
        scaled = graph.readers(reader.outputs[0])
        if other == values:
            reader.inputs = [quotient, correction]
        elif other is not None and all(values in each.inputs for each in scaled):
            # Times a scale first, then times the values.
            reader.inputs = [correction, other]
            wider[reader.outputs[0]] = _COARSE
            for each in scaled:
                each.inputs = [quotient, reader.outputs[0]]
        else:
            corrected = graph.compute(_Op.MUL, [root, correction], root, f"{name}/corrected")
            reader.inputs = [corrected if each == root else each for each in reader.inputs]
    return {graph.name(tensor): factor for tensor, factor in wider.items()}


def _mean_square(graph: Graph, tensor: int) -> tuple[Any, int, float] | None:
    """Read the MEAN, the values and the epsilon of `mean(values^2) + epsilon`."""
    epsilon, added = 0.0, graph.producer(tensor, _Op.ADD)
    if added is not None:
        terms = [
            (float(array.max()), other)
            for constant, other in (added.inputs, added.inputs[::-1])
            if (array := graph.constant(constant)) is not None and array.size == 1
        ]
        if len(terms) != 1:
            return None
        epsilon, tensor = terms[0]
    mean = graph.producer(tensor, _Op.MEAN)
    square = graph.producer(mean.inputs[0], _Op.MUL) if mean is not None else None
    # Only where the mean keeps its axes does its root multiply the values.
    keeps = mean is not None and mean.builtinOptions is not None and mean.builtinOptions.keepDims
    if square is None or not keeps or square.inputs[0] != square.inputs[1]:
        return None
    return mean, square.inputs[0], epsilon
