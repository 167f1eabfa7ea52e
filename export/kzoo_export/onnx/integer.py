"""Dynamic 8-bit quantization of an ONNX graph, with standard operations only.

A product x @ W becomes u8(x) @ i8(W) in integers, where x gets its scale at run time and W has one
scale for each column. The channels of x that are outliers are set to zero first, and multiplied
apart in float32. A lookup in a table becomes a lookup of 8-bit rows, each with its own scale. The
weights of other products are stored in 8 bits and widened when they are used.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.edit import Editor, weight_of, weights_in_use
from kzoo_export.onnx.products import Product, is_row, only_use, products

_LEVELS = 127
# Operations whose weights are stored in 8 bits and widened at run time. Tables that are added are
# not worth it: they are small, and a sum keeps every error.
_WIDENED = ("Conv", "ConvTranspose", "Einsum", "MatMul", "Gemm", "GRU", "LSTM", "RNN")


def quantize_weights(model: ir.Model, outliers: Mapping[str, np.ndarray]) -> None:
    """Quantize every weight of a model in place.

    Args:
        model: The float32 model.
        outliers: Channels that stay in float32, by the name of the value that has them.
    """
    import onnx_ir.passes.common as passes

    graph = model.graph
    _separate_biases(graph)
    weights = [value for value, array in weights_in_use(graph) if array.ndim >= 2]
    inputs: dict[str, tuple[ir.Value, ...]] = {}
    for product in products(graph):
        _multiply_integers(graph, product, outliers, inputs)
    for node in list(graph):
        if node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0:
            _look_up_integers(graph, node)
    passes.RemoveUnusedNodesPass()(model)
    for value in weights:
        if any(node.op_type in _WIDENED for node, _ in value.uses()):
            _store_integers(graph, value, value.const_value.numpy())


def _separate_biases(graph: ir.Graph) -> None:
    """Take biases out of fused operations and sums: an integer product adds its bias at no cost."""
    for node in list(graph):
        edit = Editor(graph, node)
        if (node.domain, node.op_type) == ("com.microsoft", "BiasGelu"):
            total = edit.add("Add", *node.inputs)
            total.shape, total.type = node.outputs[0].shape, node.outputs[0].type
            edit.replace(node.outputs[0], edit.add("Gelu", total))
        elif node.op_type == "Sum" and len(node.inputs) == 3 and is_row(node.inputs[1]):
            first, bias, last = node.inputs
            total = edit.add("Add", first, bias)
            total.shape, total.type = first.shape, first.type
            edit.replace(node.outputs[0], edit.add("Sum", total, last))


def symmetric(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Round to 8 bits with one scale for each index of an axis.

    Args:
        array: The weight.
        axis: The axis that keeps its own scales.

    Returns:
        The int8 elements and the scales, which have the shape of the array with all other axes 1.
    """
    others = tuple(i for i in range(array.ndim) if i != axis % array.ndim)
    scales = np.abs(array).max(axis=others, keepdims=True) / np.float32(_LEVELS)
    scales = np.where(scales > 0, scales, np.float32(1.0)).astype(np.float32)
    return np.clip(np.rint(array / scales), -_LEVELS, _LEVELS).astype(np.int8), scales


def exact_columns(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a matrix to 8 bits with one scale for each column, so that no product saturates.

    Processors without a dot-product instruction for 8 bits add the products of two neighbouring
    rows in 16 bits, and clip what does not fit: silently, and only there. With |a| + |b| <= 128 for
    the neighbours a and b of one sign, 255 a + 255 b always fits.

    Args:
        matrix: (K, N).

    Returns:
        The int8 elements (K, N) and the scales (1, N).
    """
    pairs = np.concatenate([matrix, np.zeros_like(matrix[: len(matrix) % 2])])
    pairs = pairs.reshape(-1, 2, matrix.shape[1])
    sums = np.maximum(pairs.clip(min=0).sum(1), -pairs.clip(max=0).sum(1)).max(0, keepdims=True)
    # Rounding can add half a step to each of the two: 127 leaves room for it.
    scales = np.maximum(sums, np.finfo(np.float32).tiny * _LEVELS) / np.float32(_LEVELS)
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)


def _multiply_integers(
    graph: ir.Graph,
    product: Product,
    outliers: Mapping[str, np.ndarray],
    inputs: dict[str, tuple[ir.Value, ...]],
) -> None:
    """Replace one product; what several products read is quantized once."""
    edit = Editor(graph, product.node)
    name, matrix = product.stored.name, product.matrix
    channels = outliers.get(product.activation.name)
    if product.activation.name not in inputs:
        inputs[product.activation.name] = _quantize_input(edit, product.activation, channels)
    quantized, scale, zero, *apart = inputs[product.activation.name]
    if apart:
        rest = matrix.copy()
        rest[channels] = 0.0
    else:
        rest = matrix
    elements, scales = exact_columns(rest)
    columns = edit.constant(f"{name}_scale", scales.reshape(-1))
    weight = edit.constant(f"{name}_int8", elements)
    total = edit.add("MatMulInteger", quantized, weight, zero)
    total = edit.add("Cast", total, to=ir.DataType.FLOAT)
    result = edit.add("Mul", total, edit.add("Mul", scale, columns))
    if product.bias is not None:
        # Before the outliers: the runtime makes the bias part of the integer product.
        result = edit.add("Add", result, product.bias)
    if apart:
        kept = edit.constant(f"{name}_outliers", matrix[channels])
        result = _add(edit, product.output, result, edit.add("MatMul", apart[0], kept))
    edit.replace(product.output, result)


def _add(edit: Editor, output: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
    """Add two parts of an output; where it goes into a sum, the second becomes part of the sum."""
    total = only_use(output, "Sum")
    if total is None:
        return edit.add("Add", first, second)
    second.shape, second.type = output.shape, output.type
    wider = Editor(edit.graph, total)
    wider.replace(total.outputs[0], wider.add("Sum", *total.inputs, second))
    return first


def _quantize_input(
    edit: Editor, activation: ir.Value, channels: np.ndarray | None
) -> tuple[ir.Value, ...]:
    """Give (elements, scale, zero point) of an activation, and its outlying channels if any."""
    if channels is None:
        return tuple(edit.add("DynamicQuantizeLinear", activation, outputs=3))
    kept = np.ones(int(activation.shape[-1]), np.float32)
    kept[channels] = 0.0
    mask = edit.constant(f"{activation.name}_inliers", kept)
    index = edit.constant(f"{activation.name}_channels", channels)
    quantized = edit.add("DynamicQuantizeLinear", edit.add("Mul", activation, mask), outputs=3)
    return (*quantized, edit.add("Gather", activation, index, axis=-1))


def _look_up_integers(graph: ir.Graph, node: ir.Node) -> None:
    """Look up 8-bit rows and their scales instead of float rows."""
    table, index = node.inputs
    array = weight_of(table)
    if array is None or array.ndim != 2:
        return
    edit = Editor(graph, node)
    elements, scales = symmetric(array, axis=0)
    rows = edit.add("Gather", edit.constant(f"{table.name}_int8_rows", elements), index, axis=0)
    scale = edit.add("Gather", edit.constant(f"{table.name}_row_scales", scales), index, axis=0)
    wide = edit.add("Cast", rows, to=ir.DataType.FLOAT)
    edit.replace(node.outputs[0], edit.add("Mul", wide, scale))


def _store_integers(graph: ir.Graph, value: ir.Value, array: np.ndarray) -> None:
    """Store a weight in 8 bits, along the axis that loses least, and widen it before its uses."""
    candidates = [(axis, *symmetric(array, axis)) for axis in range(array.ndim)]
    errors = [np.square(array - elements * scales).sum() for _, elements, scales in candidates]
    axis, elements, scales = candidates[int(np.argmin(errors))]
    first = next(node for node in graph if value in node.inputs)
    edit = Editor(graph, first)
    stored = edit.constant(f"{value.name}_int8", elements)
    scale = edit.constant(f"{value.name}_scale", scales.reshape(-1))
    wide = edit.add("DequantizeLinear", stored, scale, axis=axis)
    wide.shape, wide.type = value.shape, value.type
    value.replace_all_uses_with(wide)
