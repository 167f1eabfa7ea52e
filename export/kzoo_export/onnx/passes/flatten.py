"""Dense layers over several axes as other tools write them: flattened to two axes, and back."""

import onnx_ir as ir
import onnx_ir.passes.common as passes

from kzoo_export.onnx.passes.graph import Editor, Product, is_row, only_use, products


def unflatten(model: ir.Model) -> None:
    """Multiply (..., D) by a matrix directly, in place.

    What quantization looks for between two dense layers, an activation or outlying units, is then
    next to them, as it is in the files of this package.

    Args:
        model: The float32 model.
    """
    if not any(product.node.op_type == "Gemm" for product in products(model.graph)):
        return
    passes.ShapeInferencePass()(model)
    for product in products(model.graph):
        _unflatten(model.graph, product)
    passes.RemoveUnusedNodesPass()(model)


def _unflatten(graph: ir.Graph, product: Product) -> None:
    """Replace Reshape, Gemm and Reshape by MatMul and Add."""
    first, last = product.activation.producer(), only_use(product.output, "Reshape")
    if product.node.op_type != "Gemm" or first is None or first.op_type != "Reshape" or not last:
        return
    source, result = first.inputs[0], last.outputs[0]
    plain = product.bias is None or is_row(product.bias)
    if source is None or not plain or not _same_rows(source, result, *product.matrix.shape):
        return
    edit = Editor(graph, product.node)
    weight = product.node.inputs[1]
    if product.node.attributes.get_int("transB", 0):
        weight = edit.add("Transpose", weight, perm=[1, 0])
    total = edit.add("MatMul", source, weight)
    if product.bias is not None:
        total.shape, total.type = result.shape, result.type
        total = edit.add("Add", total, product.bias)
    edit.replace(result, total)


def _same_rows(source: ir.Value, result: ir.Value, width: int, units: int) -> bool:
    """Say whether a value (..., width) becomes (..., units)."""
    if source.shape is None or result.shape is None:
        return False
    *before, read = source.shape
    *after, made = result.shape
    return before == after and (read, made) == (width, units)
