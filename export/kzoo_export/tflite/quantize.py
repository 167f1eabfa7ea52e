"""Quantize: from a float32 `.tflite` file to one with smaller numbers."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kzoo_export.recipe import SMALLEST_WEIGHT, Recipe, find_method
from kzoo_export.tflite import flatbuffer

Samples = Mapping[str, np.ndarray]


def quantize(source: Path, target: Path, recipe: Recipe, samples: Samples | None = None) -> None:
    """Write the file of a recipe.

    Args:
        source: The float32 file.
        target: File to write.
        recipe: How numbers are stored and computed.
        samples: Samples by input name, for recipes that calibrate.

    Raises:
        ValueError: If there is no such recipe for TFLite.
    """
    find_method(_METHODS, recipe, "TFLite")(source, target)


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.

    Raises:
        ValueError: If there is no such recipe for TFLite.
    """
    find_method(_METHODS, recipe, "TFLite")
    return False


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _float16(source: Path, target: Path) -> None:
    from kzoo_export.tflite.passes.float16 import store_weights

    model = flatbuffer.read(source.read_bytes())
    store_weights(model, SMALLEST_WEIGHT)
    target.write_bytes(flatbuffer.write(model))


def _dynamic_int8(source: Path, target: Path) -> None:
    from kzoo_export.tflite.passes.dynamic_int8 import quantize_weights

    target.write_bytes(quantize_weights(source.read_bytes(), SMALLEST_WEIGHT))


# How files are quantized, by the dtypes of weights and activations.
_METHODS = {
    ("float32", "float32"): _copy,
    ("float16", "float32"): _float16,
    ("int8", "dynamic_int8"): _dynamic_int8,
}
