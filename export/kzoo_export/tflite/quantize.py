"""Quantize: from a float32 `.tflite` file to one with smaller numbers."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kzoo_export.assign import ABILITIES, assign, check_numbers
from kzoo_export.recipe import FLOAT16, SMALLEST_WEIGHT, Recipe
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
    check(recipe)
    if not recipe.smaller_dtypes:
        shutil.copyfile(source, target)
        return
    from kzoo_export.tflite.passes import float16, integers
    from kzoo_export.tflite.passes.embedding_lookup import use_embedding_lookup
    from kzoo_export.tflite.passes.weights import number_names, weights_by_name

    model = flatbuffer.read(source.read_bytes())
    if {"int8", "int4"} & recipe.smaller_dtypes:
        use_embedding_lookup(model, SMALLEST_WEIGHT)
    number_names(model)
    chosen = assign(recipe, weights_by_name(model, SMALLEST_WEIGHT), ABILITIES)
    model = integers.quantize_weights(model, chosen)
    float16.store_weights(model, chosen[FLOAT16])
    target.write_bytes(flatbuffer.write(model))


def check(recipe: Recipe, portable: bool = False) -> None:
    """Refuse a recipe that the format cannot obey.

    Args:
        recipe: The recipe.
        portable: About ONNX: all operations of TFLite files are standard ones.

    Raises:
        ValueError: If there is no such recipe for TFLite.
    """
    check_numbers(recipe, ABILITIES, "TFLite")


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.
    """
    return False
