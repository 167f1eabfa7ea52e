"""Quantize: from a float32 `.onnx` file to one with smaller numbers."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.assign import ABILITIES, Abilities, assign, check_numbers
from kzoo_export.gptq import Choice
from kzoo_export.mixed import widen
from kzoo_export.onnx.convert import write
from kzoo_export.recipe import (
    DYNAMIC_INT4,
    DYNAMIC_INT8,
    FLOAT16,
    INT4,
    INT8,
    Numbers,
    Recipe,
)
from kzoo_export.samples import enough
from kzoo_export.spec import NOTHING_DECLARED, Signature

Samples = Mapping[str, np.ndarray]

_ABILITIES: Abilities = {**ABILITIES, DYNAMIC_INT4: ("dense",)}
# What the standard operations can have: only ONNX Runtime's own read 4 bits.
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
            for 8 bits, and to round to 4 bits. Without any, random inputs stand in for the former.
        signature: The kinds of inputs and outputs, as far as they are known.

    Raises:
        ValueError: If there is no such recipe for ONNX.
    """
    check(recipe)
    if not recipe.smaller_dtypes:
        shutil.copyfile(source, target)
        return
    import onnx_ir as ir
    import onnx_ir.passes.common as passes

    from kzoo_export.onnx import calibrate
    from kzoo_export.onnx.passes import float16, int4, int8
    from kzoo_export.onnx.passes.weights import weights_by_name

    model = ir.load(source)
    chosen = assign(recipe, weights_by_name(model.graph), _ABILITIES)
    rounded = {}
    if chosen[DYNAMIC_INT4]:
        rounded = _round(model, recipe, chosen, enough(samples), signature)
    if chosen[DYNAMIC_INT8]:
        given = calibrate.random_samples(model) if samples is None else samples
        magnitudes = calibrate.measure_channels(model, given)
        int8.quantize_products(model, magnitudes, chosen[DYNAMIC_INT8])
    int4.store_products(model, rounded)
    if tables := chosen[INT4] | chosen[DYNAMIC_INT4]:
        int4.store_tables(model, tables)
    if widened := chosen[INT8] | chosen[DYNAMIC_INT8]:
        int8.store_weights(model, widened)
    if chosen[FLOAT16]:
        float16.store_weights(model, chosen[FLOAT16])
    passes.RemoveUnusedNodesPass()(model)
    passes.ShapeInferencePass()(model)
    write(model, target)


def _round(
    model: Any,
    recipe: Recipe,
    chosen: dict[Numbers, set[str]],
    samples: Samples,
    signature: Signature,
) -> dict[str, Choice]:
    """Round the weights of products to 4 bits; a share of them gets 8 bits instead."""
    from kzoo_export.onnx import calibrate
    from kzoo_export.onnx.passes import int4, int8

    int8.separate_biases(model.graph)
    found = int4.products_of(model, chosen[DYNAMIC_INT4])
    names = {str(product.activation.name) for group in found.values() for product in group}
    moments = calibrate.measure_moments(model, samples, names, signature.mask)
    choices = int4.round_products(found, moments)
    if recipe.wide_share:
        numbers = {name: _as_stored(found[name][0], choices[name]) for name in found}
        constants = {each for arrays in numbers.values() for each in arrays}
        loss = calibrate.loss_meter(model, constants, samples, signature)
        return widen(chosen, choices, lambda name: loss(numbers[name]), recipe.wide_share)
    return choices


def _as_stored(product: Any, choice: Choice) -> dict[str, np.ndarray]:
    """Give the numbers of a rounded layer by the names of the constants that they stand for."""
    name = str(product.stored.name)
    numbers = choice.numbers(name)
    if not product.is_transposed:
        numbers[name] = np.ascontiguousarray(numbers[name].T)
    return numbers


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
        check_numbers(recipe, _ABILITIES, "ONNX")


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.
    """
    return bool({DYNAMIC_INT8, DYNAMIC_INT4} & {rule.numbers for rule in recipe.rules})
