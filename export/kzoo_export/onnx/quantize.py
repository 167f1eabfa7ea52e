"""Quantize: from a float32 `.onnx` file to one with smaller numbers."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.onnx.convert import write
from kzoo_export.recipe import Recipe, find_method

Samples = Mapping[str, np.ndarray]


def quantize(source: Path, target: Path, recipe: Recipe, samples: Samples | None = None) -> None:
    """Write the file of a recipe.

    Args:
        source: The float32 file.
        target: File to write.
        recipe: How numbers are stored and computed.
        samples: Samples by input name, to find the channels of activations that are too large
            for 8 bits. Without any, random inputs stand in.

    Raises:
        ValueError: If there is no such recipe for ONNX.
    """
    find_method(_METHODS, recipe, "ONNX")(source, target, samples)


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.

    Raises:
        ValueError: If there is no such recipe for ONNX.
    """
    return find_method(_METHODS, recipe, "ONNX") is _dynamic_int8


def _copy(source: Path, target: Path, samples: Samples | None) -> None:
    shutil.copyfile(source, target)


def _float16(source: Path, target: Path, samples: Samples | None) -> None:
    import onnx_ir as ir

    from kzoo_export.onnx.passes import float16

    model = ir.load(source)
    float16.store_weights(model)
    _finish(model, target)


def _dynamic_int8(source: Path, target: Path, samples: Samples | None) -> None:
    import onnx_ir as ir

    from kzoo_export.onnx.passes import dynamic_int8, outliers

    model = ir.load(source)
    given = outliers.random_samples(model) if samples is None else samples
    dynamic_int8.quantize_weights(model, outliers.channel_magnitudes(model, given))
    _finish(model, target)


def _finish(model: Any, target: Path) -> None:
    import onnx_ir.passes.common as passes

    passes.RemoveUnusedNodesPass()(model)
    passes.ShapeInferencePass()(model)
    write(model, target)


# How files are quantized, by the dtypes of weights and activations.
_METHODS = {
    ("float32", "float32"): _copy,
    ("float16", "float32"): _float16,
    ("int8", "dynamic_int8"): _dynamic_int8,
}
