"""Take outlying hidden units out of a feed-forward layer, as a thin layer beside it.

Where an activation such as GELU stands between two products, its outlying channels are units of the
layer: columns of the first matrix and rows of the second. A layer of those units alone stays in
float32 (Dettmers et al., LLM.int8(), 2022, section 3.2, have the idea, but choose at run time).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes import smoothing
from kzoo_export.onnx.passes.edit import Editor
from kzoo_export.onnx.passes.matmuls import Product, only_use, products

# Activations that are zero at zero: a unit without weights is silent.
_ACTIVATIONS = ("Gelu", "Relu")
# A thin layer has at most this many units.
_MOST = 16
# What the matrices of thin layers are called, after the ones they are taken from.
SUFFIX = "_units"


def split(graph: ir.Graph, magnitudes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give outlying units a thin layer of their own, wherever that is possible.

    Args:
        graph: The float32 graph, changed in place.
        magnitudes: The largest magnitude of every channel, by the name of the value.

    Returns:
        The magnitudes that are left.
    """
    found = list(products(graph))
    makers = {product.output: product for product in found}
    left = dict(magnitudes)
    for second in found:
        name = second.activation.name
        first = _maker(second, makers) if name in left else None
        if first is None:
            continue
        units = smoothing.outlying(left[name], _MOST)
        if len(units):
            _split(graph, first, second, units)
            left[name] = _without(left[name], units)
    return left


def _maker(second: Product, makers: Mapping[ir.Value, Product]) -> Product | None:
    """Find the product in front of the activation that a product reads, if nothing else does."""
    node = second.activation.producer()
    if node is None or node.domain != "" or node.op_type not in _ACTIVATIONS:
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


def _split(graph: ir.Graph, first: Product, second: Product, units: np.ndarray) -> None:
    """Silence units in the layer, and add what they would have given."""
    activation = second.activation.producer()
    assert activation is not None
    edit = Editor(graph, second.node)
    into = edit.constant(f"{first.stored.name}{SUFFIX}", first.matrix[:, units])
    thin = edit.add("MatMul", first.activation, into)
    if first.bias is not None:
        bias = first.bias.const_value.numpy()
        thin = edit.add("Add", thin, edit.constant(f"{first.bias.name}{SUFFIX}", bias[units]))
        silent = edit.constant(f"{first.bias.name}_others", _without(bias, units))
        _replace_input(first.output.producer(), first.bias, silent)
    thin = edit.add(activation.op_type, thin, **_attributes(activation))
    out = edit.constant(f"{second.stored.name}{SUFFIX}", second.matrix[units])
    thin = edit.add("MatMul", thin, out)
    for product, matrix in (
        (first, _without(first.matrix.T, units).T),
        (second, _without(second.matrix, units)),
    ):
        rest = edit.constant(f"{product.stored.name}_others", matrix)
        _replace_input(product.node, product.stored, rest)
    _add(graph, second.output, thin)


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
