"""Replace chains of operations by the single operations that ONNX and ONNX Runtime have for them.

Every rule is exact up to the order of float32 sums. `rules` covers what Keras layers become on
either route; `onnxscript` adds the fusions to ONNX Runtime's own operations. What tracers leave to
the runtime and ONNX does not allow is repaired first: mixed dtypes, broadcasts.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import optimizer, version_converter

from kzoo_export.onnx.passes import rules
from kzoo_export.onnx.passes.graph import Editor

# Has LayerNormalization and Gelu, and runs in every recent release of ONNX Runtime.
OPSET = 23
# How much a dtype outranks another one where both enter an operation.
_RANKS = {"b": 0, "u": 1, "i": 2, "f": 3, "c": 4}


def fuse(model: Any, portable: bool) -> Any:
    """Fuse a traced graph.

    Args:
        model: An `onnx_ir.Model` as a route traced it. It is changed.
        portable: Keep to the standard operations of ONNX. Otherwise attention, skip connections
            and biased activations become operations of ONNX Runtime (domain `com.microsoft`).

    Returns:
        The fused model.
    """
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    model = _modernize(model)
    promote_types(model.graph)
    expand_masks(model.graph)
    optimizer.fold_constants(model, should_fold=_should_fold)
    passes.ShapeInferencePass()(model)
    rules.order_operands(model.graph)
    for rule_set in rules.rule_sets():
        rule_set.apply_to_model(model)
        passes.ShapeInferencePass()(model)
    optimizer.optimize(model)
    if not portable:
        _spell_softmax(model.graph)
        model, _ = optimize_for_ort(model)
        _split_skips(model.graph)
        _unpack_projections(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    passes.DeduplicateInitializersPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)
    model.opset_imports.pop("ai.onnx.ml", None)
    return model


def _spell_softmax(graph: Any) -> None:
    """Write out the default axis of Softmax: the attention fusions look for it."""
    for node in graph:
        if node.op_type == "Softmax" and "axis" not in node.attributes:
            node.attributes["axis"] = ir.AttrInt64("axis", -1)


def _split_skips(graph: Any) -> None:
    """Turn SkipLayerNormalization into a sum and a LayerNormalization.

    The kernel of the fused operation takes six times as long as the two on a CPU (ONNX Runtime
    1.32). A Sum it is, for the runtime would fuse an Add again.
    """
    for node in list(graph):
        if node.op_type != "SkipLayerNormalization":
            continue
        edit = Editor(graph, node)
        first, skip, scale, shift, *bias = node.inputs
        total = edit.add("Sum", first, *bias, skip)
        output, sums = node.outputs[0], node.outputs[3:]
        total.shape, total.type = output.shape, output.type
        for value in sums:
            value.replace_all_uses_with(total, replace_graph_outputs=True)
        epsilon = node.attributes["epsilon"].as_float()
        edit.replace(
            output, edit.add("LayerNormalization", total, scale, shift, axis=-1, epsilon=epsilon)
        )


def _unpack_projections(graph: Any) -> None:
    """Take the projections of queries, keys and values out of Attention.

    Inside it no recipe can store their weights in 8 bits.
    """
    for node in list(graph):
        if (node.domain, node.op_type) != ("com.microsoft", "Attention"):
            continue
        hidden, kernel, bias, _, _, added = (*node.inputs, *[None] * 6)[:6]
        edit, projected = Editor(graph, node), []
        for matrix, row in zip(_thirds(edit, kernel), _thirds(edit, bias), strict=True):
            product = edit.add("MatMul", hidden, matrix)
            projected.append(edit.add("Add", product, row))
            for value in (product, projected[-1]):
                value.shape, value.type = node.outputs[0].shape, node.outputs[0].type
        kept = [node.attributes[name] for name in ("num_heads", "scale") if name in node.attributes]
        attended = edit.add(
            *("MultiHeadAttention", *projected, None, None, added),
            domain="com.microsoft",
            **{attribute.name: attribute.value for attribute in kept},
        )
        edit.replace(node.outputs[0], attended)


def _thirds(edit: Any, packed: Any) -> list[Any]:
    """Return the three weights that were put side by side, as they were before or cut again."""
    if packed.const_value is None:
        return list(packed.producer().inputs)
    parts = np.split(packed.const_value.numpy(), 3, axis=-1)
    return [edit.constant(f"{packed.name}_{index}", part) for index, part in enumerate(parts)]


def _should_fold(node: Any) -> bool | None:
    """Fold what makes a constant no larger, whatever its size; the rest by the usual limits."""
    return True if node.op_type in ("Slice", "Reshape", "Squeeze", "Unsqueeze") else None


def _modernize(model: Any) -> Any:
    """Move a graph of an older operation set to the one that is written."""
    if model.opset_imports[""] < OPSET:
        version_converter.convert_version(model, OPSET)
    return model


def promote_types(graph: ir.Graph) -> None:
    """Cast the inputs of every operation to one dtype where the operation asks for one, in place.

    PyTorch multiplies a float tensor by an integer as Python and NumPy do; ONNX has no such
    product. The result has the dtype that the tracer noted for it, where it did.

    Args:
        graph: The graph.
    """
    for node in list(graph):
        for places in _same_types(node):
            values = [node.inputs[place] for place in places]
            dtypes = {value.dtype for value in values if value is not None and value.dtype}
            if len(dtypes) > 1:
                wanted = max(dtypes, key=_rank)
                _cast_inputs(graph, node, places, wanted)


def expand_masks(graph: ir.Graph) -> None:
    """Give masks of Attention their full last two axes, which ONNX Runtime does not broadcast.

    Args:
        graph: The graph, changed in place.
    """
    for node in list(graph):
        if node.op_type != "Attention" or node.domain not in ("", "ai.onnx"):
            continue
        mask = node.inputs[3] if len(node.inputs) > 3 else None
        shapes = [value.shape for value in (*node.inputs[:2], mask) if value is not None]
        if mask is None or not all(shape is not None and shape.is_static() for shape in shapes):
            continue
        query, key, own = ([int(size) for size in shape] for shape in shapes)
        wanted = [*own[:-2], query[-2], key[-2]]
        if own != wanted:
            edit = Editor(graph, node)
            sizes = edit.constant(f"{mask.name}_shape", np.array(wanted, np.int64))
            expanded = edit.add("Expand", mask, sizes)
            expanded.shape, expanded.type = ir.Shape(wanted), mask.type
            node.replace_input_with(3, expanded)


def _same_types(node: ir.Node) -> Iterator[list[int]]:
    """List the inputs of an operation that must have one dtype, by their type variable."""
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        return
    schema = onnx.defs.get_schema(node.op_type)
    variables: dict[str, list[int]] = {}
    for place in range(len(node.inputs)):
        formal = schema.inputs[min(place, len(schema.inputs) - 1)]
        variables.setdefault(formal.type_str, []).append(place)
    known = {constraint.type_param_str for constraint in schema.type_constraints}
    yield from (places for name, places in variables.items() if name in known and len(places) > 1)


def _rank(dtype: Any) -> tuple[int, int]:
    numpy = dtype.numpy()
    return _RANKS.get(numpy.kind, 0), numpy.itemsize


def _cast_inputs(graph: ir.Graph, node: ir.Node, places: list[int], wanted: Any) -> None:
    for place in places:
        value = node.inputs[place]
        if value is not None and value.dtype not in (None, wanted):
            cast = Editor(graph, node).add("Cast", value, to=wanted)
            cast.shape, cast.type = value.shape, ir.TensorType(wanted)
            node.replace_input_with(place, cast)
