"""Tables and products of an ONNX graph in 4 bits, with a scale for each block of a row.

The runtime's own GatherBlockQuantized and MatMulNBits read them: the standard DequantizeLinear
would widen the whole table for every lookup, and the matrix for every product.
"""

from collections.abc import Mapping, Set

import ml_dtypes
import numpy as np
import onnx_ir as ir

from kzoo_export.errors import RecipeError
from kzoo_export.gptq import Choice, Moments, merge, round_layer
from kzoo_export.onnx.passes.graph import Editor, Product, products
from kzoo_export.onnx.passes.weights import lookups
from kzoo_export.recipe import BLOCK

_LEVELS = 7
# What MatMulNBits rounds activations to: 8 bits, with a scale for each block.
_TO_INT8 = 4
# What may read a weight of 4 bits.
_READERS = {"MatMul", "Gemm", "Transpose", "Gather"}
# Shares of the largest magnitude of a block that are tried as its range.
_SHARES = np.linspace(0.7, 1.0, 13, dtype=np.float32)


def store_tables(model: ir.Model, names: Set[str]) -> None:
    """Look rows up in tables of 4-bit numbers, in place.

    Args:
        model: The model.
        names: The tables; their rows have a whole number of blocks.
    """
    graph = model.graph
    for node, table in lookups(graph, names):
        stored, index = node.inputs
        edit = Editor(graph, node)
        elements, scales = blocks(table)
        rows = edit.add(
            "GatherBlockQuantized",
            edit.constant(f"{stored.name}_int4", elements),
            index,
            edit.constant(f"{stored.name}_block_scales", scales),
            domain="com.microsoft",
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )
        edit.replace(node.outputs[0], edit.add("Cast", rows, to=ir.DataType.FLOAT))


def products_of(model: ir.Model, names: Set[str]) -> dict[str, list[Product]]:
    """Find the products with some weights.

    Args:
        model: The float32 model.
        names: The weights, which dense layers have.

    Returns:
        The products by the name of the weight.

    Raises:
        RecipeError: If a weight is multiplied by an operation that has no kernel for 4 bits.
    """
    found: dict[str, list[Product]] = {}
    for product in products(model.graph):
        if product.stored.name in names:
            found.setdefault(str(product.stored.name), []).append(product)
    for name in sorted(names):
        group = found.get(name, [])
        readers = {node.op_type for product in group for node, _ in product.stored.uses()}
        one_way = len({product.is_transposed for product in group}) == 1
        if not one_way or not readers <= _READERS:
            raise RecipeError(
                "Only a product with a matrix (MatMul, Gemm) has a kernel for 4 bits, and "
                f"{name} is multiplied by another operation, or as its transpose as well. Give it "
                "other numbers by an override with its `scope`"
            )
    return found


def round_products(
    found: Mapping[str, list[Product]], moments: Mapping[str, Moments]
) -> dict[str, Choice]:
    """Round the weights of products for their inputs.

    Args:
        found: The products by the name of the weight.
        moments: Of the activations that enter them, by name.

    Returns:
        What is stored (N, K), by the name of the weight.
    """
    choices = {}
    for name, group in found.items():
        matrix, bias = group[0].matrix.T, group[0].bias
        known = merge(moments[each] for each in sorted({str(p.activation.name) for p in group}))
        own = len(group) == 1 and bias is not None and len(list(bias.uses())) == 1
        choices[name] = round_layer(
            *(matrix, known, BLOCK),
            (str(bias.name), bias.const_value.numpy()) if own and bias is not None else None,
        )
    return choices


def store_products(model: ir.Model, choices: Mapping[str, Choice]) -> None:
    """Compute products with matrices of 4-bit numbers, in place.

    Args:
        model: The model.
        choices: What is stored, by the name of the weight.
    """
    for name, group in products_of(model, set(choices)).items():
        for product in group:
            _multiply_blocks(Editor(model.graph, product.node), product, choices[name])


def _multiply_blocks(edit: Editor, product: Product, choice: Choice) -> None:
    """Replace one product (.., K) @ (K, N) with the runtime's own."""
    (units, width), scales = choice.rounded.elements.shape, choice.rounded.scales
    unsigned = (choice.rounded.elements + 8).astype(np.uint8).reshape(units, -1, BLOCK)
    nibbles = unsigned[..., 0::2] | unsigned[..., 1::2] << 4
    result = edit.add(
        "MatMulNBits",
        product.node.inputs[0],
        edit.constant(f"{product.stored.name}_int4", nibbles),
        edit.constant(f"{product.stored.name}_block_scales", scales.astype(np.float32).reshape(-1)),
        domain="com.microsoft",
        K=width,
        N=units,
        bits=4,
        block_size=BLOCK,
        accuracy_level=_TO_INT8,
    )
    bias = product.bias
    if choice.bias is not None:
        name, shifted = choice.bias
        bias = edit.constant(f"{name}_shifted", shifted.astype(np.float32))
    if bias is not None:
        result = edit.add("Add", result, bias)
    edit.replace(product.output, result)


def blocks(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a table to 4 bits, in each block with the scale that loses least.

    Args:
        table: (V, D).

    Returns:
        The int4 elements (V, D), none of them -8, and the float16 scales (V, D / BLOCK).
    """
    cut = table.reshape(len(table), -1, BLOCK)
    largest = np.abs(cut).max(-1, keepdims=True)
    elements, scales = _rounded(cut, largest)
    least = np.square(cut - elements * scales).sum(-1, keepdims=True)
    for share in _SHARES[:-1]:
        others, other_scales = _rounded(cut, largest * share)
        loss = np.square(cut - others * other_scales).sum(-1, keepdims=True)
        elements = np.where(loss < least, others, elements)
        scales = np.where(loss < least, other_scales, scales)
        least = np.minimum(loss, least)
    return (
        elements.reshape(table.shape).astype(ml_dtypes.int4),
        scales[..., 0].astype(np.float16),
    )


def _rounded(cut: np.ndarray, ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round with the scales as float16 has them."""
    scales = (ranges / _LEVELS).astype(np.float16).astype(np.float32)
    scales = np.where(scales > 0, scales, np.float32(1.0))
    return np.clip(np.rint(cut / scales), -_LEVELS, _LEVELS), scales
