"""Quantize: from a float32 `.onnx` file to one with smaller numbers."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.assign import ABILITIES, Abilities, assign, check_numbers
from kzoo_export.calibration import enough
from kzoo_export.gptq import Choice
from kzoo_export.mixed import alike, fewest, most_trials, widen
from kzoo_export.onnx.convert import write
from kzoo_export.progress import Progress, part, silent, told
from kzoo_export.recipe import (
    DYNAMIC_INT4,
    DYNAMIC_INT8,
    FLOAT16,
    INT4,
    INT8,
    OPERATIONS,
    STATIC_INT8,
    Numbers,
    Recipe,
)
from kzoo_export.spec import NOTHING_DECLARED, Signature

Samples = Mapping[str, np.ndarray]

_ABILITIES: Abilities = {**ABILITIES, DYNAMIC_INT4: ("dense",), STATIC_INT8: OPERATIONS}
# What the standard operations can have: only ONNX Runtime's own read 4 bits.
_PORTABLE_ABILITIES = {
    numbers: operations for numbers, operations in _ABILITIES.items() if numbers.weights != "int4"
}


def quantize(
    source: Path,
    target: Path,
    recipe: Recipe,
    samples: Samples | None = None,
    signature: Signature = NOTHING_DECLARED,
    tell: Progress = silent,
) -> None:
    """Write the file of a recipe.

    Args:
        source: The float32 file.
        target: File to write.
        recipe: How numbers are stored and computed.
        samples: Samples by input name, to find the channels of activations that are too large
            for 8 bits, and to round to 4 bits. Without any, random inputs stand in for the former.
        signature: The kinds of inputs and outputs, as far as they are known.
        tell: Told of the steps: `calibrate`, `round`, `scan` and `quantize`.

    Raises:
        ValueError: If there is no such recipe for ONNX.
    """
    check(recipe)
    tell("quantize", 0.0)
    if not recipe.smaller_dtypes:
        shutil.copyfile(source, target)
        return
    import onnx_ir as ir
    import onnx_ir.passes.common as passes

    from kzoo_export.onnx import calibrate
    from kzoo_export.onnx.passes import float16, int4, int8
    from kzoo_export.onnx.passes.flatten import unflatten
    from kzoo_export.onnx.passes.weights import weights_by_name

    model = ir.load(source)
    unflatten(model)
    chosen = assign(recipe, weights_by_name(model.graph), _ABILITIES)
    rounded = {}
    scan = part(tell, 0.3, 0.9)
    if chosen[DYNAMIC_INT4]:
        rounded = _round(model, recipe, chosen, enough(samples), signature, scan)
    if chosen[DYNAMIC_INT8]:
        tell("calibrate", 0.9)
        given = calibrate.random_samples(model) if samples is None else calibrate.few(samples)
        channels = calibrate.measure_channels(model, given)
        int8.quantize_products(model, channels, chosen[DYNAMIC_INT8], int8.at_run_time)
    if chosen[STATIC_INT8]:
        _quantize_ahead(model, chosen[STATIC_INT8], enough(samples), recipe, signature, scan)
    tell("quantize", 0.9)
    int4.store_products(model, rounded)
    if tables := chosen[INT4] | chosen[DYNAMIC_INT4]:
        int4.store_tables(model, tables)
    if widened := chosen[INT8] | chosen[DYNAMIC_INT8] | chosen[STATIC_INT8]:
        int8.store_weights(model, widened)
    if chosen[FLOAT16]:
        float16.store_weights(model, chosen[FLOAT16])
    passes.RemoveUnusedNodesPass()(model)
    passes.ShapeInferencePass()(model)
    write(model, target)


def _quantize_ahead(
    model: Any,
    names: set[str],
    samples: Samples,
    recipe: Recipe,
    signature: Signature,
    tell: Progress,
) -> None:
    """Compute products in integers by scales found on samples, but for those that lose too much."""
    from kzoo_export.onnx import calibrate
    from kzoo_export.onnx.passes import int8
    from kzoo_export.onnx.passes.graph import products

    tell("calibrate", 0.0)
    channels = calibrate.measure_channels(model, samples)
    multiplied = {str(product.stored.name) for product in products(model.graph)} & names
    loss_of = calibrate.models_loss_meter(model, samples, signature)
    loss_of = told(loss_of, tell, "scan", most_trials(multiplied))

    def loss(quantized: Collection[str]) -> float:
        candidate = model.clone()
        int8.quantize_products(candidate, channels, set(quantized), int8.ahead)
        int8.store_weights(candidate, names)
        return loss_of(candidate)

    def holds(kept: Collection[str]) -> bool:
        return loss(multiplied - set(kept)) <= recipe.max_loss

    kept: list[str] = []
    if not holds(kept):
        kept = fewest(alike(sorted(multiplied)), loss, holds)
        kept = fewest([[name] for name in kept], loss, holds)
    int8.quantize_products(model, channels, multiplied - set(kept), int8.ahead)


def _round(
    model: Any,
    recipe: Recipe,
    chosen: dict[Numbers, set[str]],
    samples: Samples,
    signature: Signature,
    tell: Progress,
) -> dict[str, Choice]:
    """Round the weights of products to 4 bits; a share of them gets 8 bits instead."""
    from kzoo_export.onnx import calibrate
    from kzoo_export.onnx.passes import int4, int8

    tell("calibrate", 0.0)
    int8.separate_biases(model.graph)
    found = int4.products_of(model, chosen[DYNAMIC_INT4])
    names = {str(product.activation.name) for group in found.values() for product in group}
    moments = calibrate.measure_moments(model, samples, names, signature.mask)
    tell("round", 0.0)
    choices = int4.round_products(found, moments)
    if recipe.wide_share:
        numbers = {name: _as_stored(found[name][0], choices[name]) for name in found}
        constants = {each for arrays in numbers.values() for each in arrays}
        loss_of = calibrate.loss_meter(model, constants, samples, signature)

        def loss(name: str) -> float:
            return loss_of(numbers[name])

        counted = told(loss, tell, "scan", len(found))
        return widen(chosen, choices, counted, recipe.wide_share)
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
    if not recipe.float_io:
        raise ValueError(
            "`recipe` must have `float_io`: ONNX files have integers between their dense layers "
            f"alone. Received: recipe={recipe.name!r} with float_io=False"
        )
    if recipe.every_product:
        raise ValueError(
            "`recipe` must leave products of two activations, as in attention, in float32: ONNX "
            f"files have them so. Received: recipe={recipe.name!r}, which asks for every product "
            "in integers"
        )


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.
    """
    return recipe.calibrates or any(rule.numbers == DYNAMIC_INT8 for rule in recipe.rules)
