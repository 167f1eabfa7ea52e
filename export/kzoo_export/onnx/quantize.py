"""From a lowered graph to an `.onnx` file with smaller numbers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kzoo_export.onnx.convert import write
from kzoo_export.recipe import Recipe
from kzoo_export.spec import ExportError, Spec


def quantize(
    lowered: Path,
    target: Path,
    spec: Spec,
    recipe: Recipe,
    calibration: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the file of a recipe.

    Args:
        lowered: The float32 graph a route has lowered and fused.
        target: File to write.
        spec: Signature of the file.
        recipe: How numbers are stored and computed.
        calibration: Samples by input name, to find the channels of activations that are too large
            for 8 bits. Without any, random inputs stand in.

    Raises:
        ExportError: If there is no such recipe for ONNX.
    """
    import onnx_ir as ir
    import onnx_ir.passes.common as passes

    from kzoo_export.onnx import half, integer, outliers

    model = ir.load(lowered)
    if recipe.weights == "float16":
        half.store_weights(model)
    elif recipe.weights == "int8":
        samples = outliers.random_samples(model) if calibration is None else calibration
        integer.quantize_weights(model, outliers.largest(model, samples))
    else:
        raise ExportError(f"There is no ONNX conversion for the recipe {recipe.name!r}")
    passes.RemoveUnusedNodesPass()(model)
    passes.ShapeInferencePass()(model)
    write(model, target)
