"""8-bit quantization of an ONNX graph, with standard operations only.

A product x @ W becomes u8(x / s) @ i8(s W) in integers, where x gets its scale at run time or ahead
of it, and W has one for each column; s smooths the outliers of x. Outlying units of feed-forward
layers stay in float32. A lookup in a table becomes a lookup of 8-bit rows, each with its own scale.
The weights of other operations are stored in 8 bits and widened when they are used.
"""

from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from kzoo_export.onnx.passes.graph import Editor, Product, is_row, products
from kzoo_export.onnx.passes.outliers import magnitudes_of, split_units
from kzoo_export.onnx.passes.weights import lookups
from kzoo_export.outliers import smoothing_factors

_LEVELS = 127
_STEPS = 255
# No scale is below it: numbers that small have fewer bits than others, and quotients of them none.
_TINY = np.finfo(np.float32).tiny

# Adds a product of a quantized activation: by the name of the weight, the matrix and the bias.
Multiply = Callable[[Editor, str, np.ndarray, ir.Value | None], ir.Value]
# Adds the quantization of an activation, whose least and largest numbers are given.
Quantize = Callable[[Editor, ir.Value, np.ndarray], Multiply]


def quantize_products(
    model: ir.Model, channels: Mapping[str, np.ndarray], names: Set[str], quantize: Quantize
) -> None:
    """Compute products in integers, in place.

    Args:
        model: The float32 model.
        channels: The least and the largest number of every channel (D, 2), by the name of the value
            that enters a product.
        names: The weights whose products are quantized.
        quantize: How: `at_run_time` or `ahead`.
    """
    graph = model.graph
    separate_biases(graph)
    names, channels = split_units(graph, channels, names)
    readers: dict[ir.Value, list[Product]] = {}
    for product in products(graph):
        if product.stored.name in names:
            readers.setdefault(product.activation, []).append(product)
    for activation, group in readers.items():
        _multiply_integers(graph, group, channels[str(activation.name)], quantize)


def at_run_time(edit: Editor, activation: ir.Value, limits: np.ndarray) -> Multiply:
    """Quantize an activation with the scale of the numbers it has when the file runs.

    Args:
        edit: Adds nodes in front of the first product.
        activation: What enters products.
        limits: Its least and its largest number on samples, which do not matter here.

    Returns:
        A function that adds a product.
    """
    elements, scale, zero = edit.add("DynamicQuantizeLinear", activation, outputs=3)

    def multiply(edit: Editor, name: str, matrix: np.ndarray, bias: ir.Value | None) -> ir.Value:
        weight, columns = _columns(edit, name, matrix)
        total = edit.add("MatMulInteger", elements, weight, zero)
        total = edit.add("Cast", total, to=ir.DataType.FLOAT)
        result = edit.add("Mul", total, edit.add("Mul", scale, columns))
        return result if bias is None else edit.add("Add", result, bias)

    return multiply


def ahead(edit: Editor, activation: ir.Value, limits: np.ndarray) -> Multiply:
    """Quantize an activation with a scale for the numbers it has on samples.

    Runtimes read QuantizeLinear and DequantizeLinear around a product as one in integers.

    Args:
        edit: Adds nodes in front of the first product.
        activation: What enters products.
        limits: Its least and its largest number on samples: what is beyond them is clipped.

    Returns:
        A function that adds a product.
    """
    low, high = min(float(limits[0]), 0.0), max(float(limits[1]), 0.0)
    step = np.maximum((high - low) / _STEPS, _TINY).astype(np.float32)
    scale = edit.constant(f"{activation.name}_scale", np.array(step))
    zero = edit.constant(f"{activation.name}_zero", np.array(np.rint(-low / step), np.uint8))
    elements = edit.add("QuantizeLinear", activation, scale, zero)
    read = edit.add("DequantizeLinear", elements, scale, zero)

    def multiply(edit: Editor, name: str, matrix: np.ndarray, bias: ir.Value | None) -> ir.Value:
        weight = edit.add("DequantizeLinear", *_columns(edit, name, matrix), axis=1)
        result = edit.add("MatMul", read, weight)
        # ONNX Runtime would make an Add one operation with the product, which has float weights.
        return result if bias is None else edit.add("Sum", result, bias)

    return multiply


def _columns(edit: Editor, name: str, matrix: np.ndarray) -> tuple[ir.Value, ir.Value]:
    """Store a matrix (K, N) in 8 bits, and the scales (N,) of its columns."""
    elements, scales = exact_columns(matrix)
    weight = edit.constant(f"{name}_int8", elements)
    return weight, edit.constant(f"{name}_scale", scales.reshape(-1))


def store_weights(model: ir.Model, names: Set[str]) -> None:
    """Store weights in 8 bits, in place; those that nothing uses any more are passed over.

    Args:
        model: The model.
        names: The weights.
    """
    graph = model.graph
    for node, table in lookups(graph, names):
        _look_up_integers(Editor(graph, node), node, table)
    passes.RemoveUnusedNodesPass()(model)
    for value in list(graph.initializers.values()):
        if value.name in names and value.uses():
            _store_integers(graph, value, value.const_value.numpy())


def separate_biases(graph: ir.Graph) -> None:
    """Take biases out of fused operations and sums: an integer product adds its bias at no cost.

    Args:
        graph: The graph, changed in place.
    """
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
    largest = np.abs(array).max(axis=others, keepdims=True)
    scales = np.maximum(largest, _TINY * _LEVELS).astype(np.float32) / np.float32(_LEVELS)
    return np.clip(np.rint(array / scales), -_LEVELS, _LEVELS).astype(np.int8), scales


def exact_columns(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a matrix to 8 bits with one scale for each column, so that no product saturates.

    Processors without a dot-product instruction for 8 bits add the products of two neighboring
    rows in 16 bits, and clip what does not fit: silently, and only there. With |a| + |b| <= 128 for
    the neighbors a and b of one sign, 255 a + 255 b always fits.

    Args:
        matrix: (K, N).

    Returns:
        The int8 elements (K, N) and the scales (1, N).
    """
    pairs = np.concatenate([matrix, np.zeros_like(matrix[: len(matrix) % 2])])
    pairs = pairs.reshape(-1, 2, matrix.shape[1])
    sums = np.maximum(pairs.clip(min=0).sum(1), -pairs.clip(max=0).sum(1)).max(0, keepdims=True)
    # Rounding can add half a step to each of the two: 127 leaves room for it.
    scales = np.maximum(sums, _TINY * _LEVELS) / np.float32(_LEVELS)
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)


def _multiply_integers(
    graph: ir.Graph, group: Sequence[Product], channels: np.ndarray, quantize: Quantize
) -> None:
    """Replace all products that read one activation, which is quantized once."""
    matrices = [product.matrix for product in group]
    factors = smoothing_factors(magnitudes_of(channels), matrices)
    # As it is by now: a product that was replaced gave way to another value of the same name.
    activation = group[0].node.inputs[0]
    assert activation is not None
    edit = Editor(graph, group[0].node)
    if factors is not None:
        inverse = edit.constant(f"{activation.name}_smoothing", 1.0 / factors)
        activation = edit.add("Mul", activation, inverse)
        matrices = [matrix * factors[:, None] for matrix in matrices]
        channels = channels / factors[:, None]
    multiply = quantize(edit, activation, np.array((channels.min(), channels.max())))
    for product, matrix in zip(group, matrices, strict=True):
        edit = Editor(graph, product.node)
        result = multiply(edit, str(product.stored.name), matrix, product.bias)
        edit.replace(product.output, result)


def _look_up_integers(edit: Editor, node: ir.Node, table: np.ndarray) -> None:
    """Look up 8-bit rows and their scales instead of float rows."""
    stored, index = node.inputs
    elements, scales = symmetric(table, axis=0)
    rows = edit.add("Gather", edit.constant(f"{stored.name}_int8_rows", elements), index, axis=0)
    scale = edit.add("Gather", edit.constant(f"{stored.name}_row_scales", scales), index, axis=0)
    wide = edit.add("Cast", rows, to=ir.DataType.FLOAT)
    edit.replace(node.outputs[0], edit.add("Mul", wide, scale))


def _store_integers(graph: ir.Graph, value: ir.Value, array: np.ndarray) -> None:
    """Store a weight in 8 bits and widen it before its uses.

    The scales are those of the columns of a matrix, and else along the axis that loses least. Not
    by DequantizeLinear: ONNX Runtime would quantize the activations of the product as well, while
    it computes a constant of a cast and a scale once, when the file is loaded.
    """
    first = next(node for node in graph if value in node.inputs)
    axes = (1,) if first.op_type == "MatMul" and array.ndim == 2 else range(array.ndim)
    candidates = [symmetric(array, axis) for axis in axes]
    errors = [np.square(array - elements * scales).sum() for elements, scales in candidates]
    elements, scales = candidates[int(np.argmin(errors))]
    edit = Editor(graph, first)
    stored = edit.constant(f"{value.name}_int8", elements)
    scale = edit.constant(f"{value.name}_scale", scales)
    wide = edit.add("Mul", edit.add("Cast", stored, to=ir.DataType.FLOAT), scale)
    wide.shape, wide.type = value.shape, value.type
    value.replace_all_uses_with(wide)
