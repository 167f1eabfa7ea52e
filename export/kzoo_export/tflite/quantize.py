"""From a SavedModel to a `.tflite` file with smaller numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.recipe import Recipe
from kzoo_export.spec import ExportError, Spec
from kzoo_export.tflite.convert import make_converter, write


def quantize(
    lowered: Path,
    target: Path,
    spec: Spec,
    recipe: Recipe,
    calibration: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the file of a recipe.

    Args:
        lowered: Folder of the SavedModel.
        target: File to write.
        spec: Signature of the file.
        recipe: How numbers are stored and computed.
        calibration: Samples; the recipes of this format use none.

    Raises:
        ExportError: If TFLite has no such recipe.
    """
    if recipe.weights not in _CONFIGURE:
        raise ExportError(f"There is no TFLite conversion for the recipe {recipe.name!r}")
    converter = make_converter(lowered)
    _CONFIGURE[recipe.weights](converter)
    write(converter, target, spec)


def _float16(converter: Any) -> None:
    """Store weights as float16; they are widened when the file is loaded."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _int8(converter: Any) -> None:
    """Store weights as int8, one scale a channel, and scale activations at run time."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


_CONFIGURE = {"float16": _float16, "int8": _int8}
