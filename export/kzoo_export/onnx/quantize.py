"""Quantize: from a float32 `.onnx` file to one with smaller numbers."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kzoo_export.assign import ABILITIES, assign, check_numbers
from kzoo_export.onnx.convert import write
from kzoo_export.recipe import DYNAMIC_INT8, FLOAT16, INT4, INT8, Recipe
from kzoo_export.spec import NOTHING_DECLARED, Signature

Samples = Mapping[str, np.ndarray]

# What the standard operations can have: only ONNX Runtime's own look rows of 4 bits up.
_PORTABLE_ABILITIES = {
    numbers: operations for numbers, operations in ABILITIES.items() if numbers != INT4
}


def quantize(
    source: Path,
    target: Path,
    recipe: Recipe,
    samples: Samples | None = None,
    signature: Signature = NOTHING_DECLARED,
) -> None:
    """Write the file of a recipe.

    Args:
        source: The float32 file.
        target: File to write.
        recipe: How numbers are stored and computed.
        samples: Samples by input name, to find the channels of activations that are too large
            for 8 bits. Without any, random inputs stand in.
        signature: The kinds of inputs and outputs; nothing here depends on them.

    Raises:
        ValueError: If there is no such recipe for ONNX.
    """
    check(recipe)
    if not recipe.smaller_dtypes:
        shutil.copyfile(source, target)
        return
    import onnx_ir as ir
    import onnx_ir.passes.common as passes

    from kzoo_export.onnx.passes import float16, int4, int8, outliers
    from kzoo_export.onnx.passes.weights import weights_by_name

    model = ir.load(source)
    chosen = assign(recipe, weights_by_name(model.graph), ABILITIES)
    if chosen[DYNAMIC_INT8]:
        given = outliers.random_samples(model) if samples is None else samples
        magnitudes = outliers.channel_magnitudes(model, given)
        int8.quantize_products(model, magnitudes, chosen[DYNAMIC_INT8])
    if chosen[INT4]:
        int4.store_tables(model, chosen[INT4])
    if widened := chosen[INT8] | chosen[DYNAMIC_INT8]:
        int8.store_weights(model, widened)
    if chosen[FLOAT16]:
        float16.store_weights(model, chosen[FLOAT16])
    passes.RemoveUnusedNodesPass()(model)
    passes.ShapeInferencePass()(model)
    write(model, target)


def check(recipe: Recipe, portable: bool = False) -> None:
    """Refuse a recipe that the format cannot obey.

    Args:
        recipe: The recipe.
        portable: Keep to the standard operations of ONNX.

    Raises:
        ValueError: If there is no such recipe for ONNX.
    """
    if portable:
        check_numbers(recipe, _PORTABLE_ABILITIES, "portable ONNX")
    else:
        check_numbers(recipe, ABILITIES, "ONNX")


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.
    """
    return DYNAMIC_INT8 in (rule.numbers for rule in recipe.rules)
