"""Replace chains of operations by the single operations that ONNX and ONNX Runtime have for them.

Every rule is exact up to the order of float32 sums. `rules` covers what Keras layers become on
either route; `onnxscript` adds the fusions to ONNX Runtime's own operations.
"""

from typing import Any

# Has LayerNormalization and Gelu; the newest that every release of ONNX Runtime of the last year runs.
OPSET = 23


def fuse(model: Any, portable: bool) -> Any:
    """Fuse a traced graph.

    Args:
        model: An `onnx_ir.Model` as a route traced it. It is changed.
        portable: Keep to the standard operations of ONNX. Otherwise attention, skip connections
            and biased activations become operations of ONNX Runtime (domain `com.microsoft`).

    Returns:
        The fused model.
    """
    import onnx_ir.passes.common as passes
    from onnxscript import optimizer
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    from kzoo_export.onnx import rules

    model = _modernize(model)
    optimizer.fold_constants(model)
    passes.ShapeInferencePass()(model)
    for rule_set in rules.rule_sets():
        rule_set.apply_to_model(model)
        passes.ShapeInferencePass()(model)
    optimizer.optimize(model)
    if not portable:
        model, _ = optimize_for_ort(model)
    passes.DeduplicateInitializersPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)
    model.opset_imports.pop("ai.onnx.ml", None)
    return model


def _modernize(model: Any) -> Any:
    """Move a graph of an older operation set to the one that is written."""
    from onnxscript import version_converter

    if model.opset_imports[""] < OPSET:
        version_converter.convert_version(model, OPSET)
    return model
