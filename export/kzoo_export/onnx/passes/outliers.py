"""Channels of activations that would take the whole range of 8 bits for themselves.

Dynamic quantization gives one scale to all of an activation. In transformers a handful of channels
is an order of magnitude larger than the rest, which is then left with a few of the 256 steps. A
look at samples tells which.

There are two ways to deal with them. Smoothing moves a part of them to the weights. Where an
activation such as GELU stands between two products, its outlying channels are units of the layer:
columns of the first matrix and rows of the second. A thin layer of those units alone stays in
float32 (Dettmers et al., LLM.int8(), 2022, section 3.2, have the idea, but choose at run time).
"""

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes.graph import Editor, Product, only_use, products
from kzoo_export.outliers import outlying

# Activations that are zero at zero: a unit without weights is silent.
_ACTIVATIONS = ("Gelu", "Relu")
# Of the standard, or as ONNX Runtime's optimizer writes them.
_DOMAINS = ("", "com.microsoft")
# A thin layer has at most this many units.
_MOST = 16
# What the matrices of thin layers are called, after the ones they are taken from.
_SUFFIX = "_units"


def split_units(
    graph: ir.Graph, channels: Mapping[str, np.ndarray], names: Set[str]
) -> tuple[set[str], dict[str, np.ndarray]]:
    """Give outlying units a thin layer of their own, wherever that is possible.

    Args:
        graph: The float32 graph, changed in place.
        channels: The least and the largest number of every channel (D, 2), by the name of the
            value.
        names: The weights that lose precision to outliers.

    Returns:
        The names of these weights, some of which are without their outlying units now, and the
        channels that are left.
    """
    found = [product for product in products(graph) if product.stored.name in names]
    quantized = set(names)
    makers = {product.output: product for product in found}
    left = dict(channels)
    for second in found:
        name = second.activation.name
        first = _maker(second, makers) if name in left else None
        if first is None:
            continue
        units = outlying(magnitudes_of(left[name]), _MOST)
        if len(units):
            quantized |= _split(graph, first, second, units)
            left[name] = _without(left[name], units)
    return quantized, left


def magnitudes_of(channels: np.ndarray) -> np.ndarray:
    """Find the largest magnitude of every channel.

    Args:
        channels: The least and the largest number of every channel (D, 2).

    Returns:
        The magnitudes (D,).
    """
    return np.asarray(np.abs(channels).max(axis=1))


def _maker(second: Product, makers: Mapping[ir.Value, Product]) -> Product | None:
    """Find the product in front of the activation that a product reads, if nothing else does."""
    node = second.activation.producer()
    if node is None or node.domain not in _DOMAINS or node.op_type not in _ACTIVATIONS:
        return None
    first = makers.get(node.inputs[0])
    chain = (
        first is not None
        and only_use(first.output, node.op_type) is node
        and only_use(second.activation, second.node.op_type) is second.node
        and not second.output.is_graph_output()
    )
    plain = first is not None and all(p.node.inputs[1] is p.stored for p in (first, second))
    is_matmul = first is not None and {first.node.op_type, second.node.op_type} == {"MatMul"}
    return first if chain and plain and is_matmul else None


def _split(graph: ir.Graph, first: Product, second: Product, units: np.ndarray) -> set[str]:
    """Silence units in the layer, add what they would have given, and name the silent weights."""
    activation = second.activation.producer()
    assert activation is not None
    edit = Editor(graph, second.node)
    into = edit.constant(f"{first.stored.name}{_SUFFIX}", first.matrix[:, units])
    thin = edit.add("MatMul", first.activation, into)
    if first.bias is not None:
        bias = first.bias.const_value.numpy()
        # ONNX Runtime would make an Add one operation with the product, between two reshapes.
        thin = edit.add("Sum", thin, edit.constant(f"{first.bias.name}{_SUFFIX}", bias[units]))
        silent = edit.constant(f"{first.bias.name}_others", _without(bias, units))
        _replace_input(first.output.producer(), first.bias, silent)
    thin = edit.add(activation.op_type, thin, domain=activation.domain, **_attributes(activation))
    out = edit.constant(f"{second.stored.name}{_SUFFIX}", second.matrix[units])
    thin = edit.add("MatMul", thin, out)
    names = set()
    for product, matrix in (
        (first, _without(first.matrix.T, units).T),
        (second, _without(second.matrix, units)),
    ):
        rest = edit.constant(f"{product.stored.name}_others", matrix)
        _replace_input(product.node, product.stored, rest)
        names.add(str(rest.name))
    _add(graph, second.output, thin)
    return names


def _attributes(node: ir.Node) -> dict[str, Any]:
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _without(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    rest = array.copy()
    rest[rows] = 0.0
    return rest


def _replace_input(node: ir.Node | None, old: ir.Value, new: ir.Value) -> None:
    assert node is not None
    node.replace_input_with(list(node.inputs).index(old), new)


def _add(graph: ir.Graph, output: ir.Value, part: ir.Value) -> None:
    """Add a part to an output, for everything that reads it."""
    total = only_use(output, "Sum")
    if total is not None:
        edit = Editor(graph, total)
        edit.replace(total.outputs[0], edit.add("Sum", *total.inputs, part))
        return
    uses, producer = list(output.uses()), output.producer()
    addition = ir.node("Add", [output, part])
    assert producer is not None
    graph.insert_after(producer, addition)
    addition.outputs[0].shape, addition.outputs[0].type = output.shape, output.type
    for use in uses:
        use.node.replace_input_with(use.idx, addition.outputs[0])
