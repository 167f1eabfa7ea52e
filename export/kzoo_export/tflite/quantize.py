"""Quantize: from a float32 `.tflite` file to one with smaller numbers."""

import shutil
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.assign import ABILITIES, Abilities, assign, check_numbers
from kzoo_export.calibration import enough
from kzoo_export.gptq import Choice, Moments, merge
from kzoo_export.mixed import widen
from kzoo_export.progress import Progress, part, silent, told
from kzoo_export.recipe import (
    DYNAMIC_INT4,
    FLOAT16,
    INT4,
    OPERATIONS,
    SMALLEST_WEIGHT,
    STATIC,
    STATIC_INT8,
    Numbers,
    Recipe,
)
from kzoo_export.spec import NOTHING_DECLARED, Signature
from kzoo_export.tflite import flatbuffer

Samples = Mapping[str, np.ndarray]

_ABILITIES: Abilities = {
    **ABILITIES,
    DYNAMIC_INT4: ("dense",),
    **dict.fromkeys(STATIC, OPERATIONS),
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
        samples: Samples by input name, for recipes that calibrate.
        signature: The kinds of inputs and outputs, as far as they are known.
        tell: Told of the steps: `calibrate`, `round`, `scan` and `quantize`.

    Raises:
        ValueError: If there is no such recipe for TFLite.
    """
    check(recipe)
    tell("quantize", 0.0)
    if not recipe.smaller_dtypes:
        shutil.copyfile(source, target)
        return
    from kzoo_export.tflite.passes import float16
    from kzoo_export.tflite.passes.embedding_lookup import use_embedding_lookup
    from kzoo_export.tflite.passes.graph import number_names
    from kzoo_export.tflite.passes.static import choose_operations, quantize_operations
    from kzoo_export.tflite.passes.weights import weights_by_name

    model = flatbuffer.read(source.read_bytes())
    if {"int8", "int4"} & recipe.smaller_dtypes:
        use_embedding_lookup(model, SMALLEST_WEIGHT)
    number_names(model)
    ranges: dict[str, tuple[float, float]] = {}
    if recipe.is_static:
        tell("calibrate", 0.1)
        ranges = _make_quantizable(model, recipe, enough(samples))
    chosen = assign(recipe, weights_by_name(model, SMALLEST_WEIGHT), _ABILITIES)
    scan = part(tell, 0.3, 0.9)
    rounded = _round(model, recipe, chosen, samples, signature, scan)
    operations = choose_operations(model, recipe, chosen)
    if ranges:
        from kzoo_export.tflite.sensitivity import choose_int16

        operations = choose_int16(
            *(model, operations, ranges, enough(samples), recipe, signature, scan)
        )
    tell("quantize", 0.9)
    made = quantize_operations(model, operations, ranges, recipe.float_io)
    if not recipe.float_io:
        from kzoo_export.tflite.passes.static import take_integers

        take_integers(made, recipe.name)
    if rounded:
        from kzoo_export.tflite.passes.int4 import refine

        refine(made, rounded)
    float16.store_weights(made, chosen[FLOAT16])
    target.write_bytes(flatbuffer.write(made))


def _round(
    model: Any,
    recipe: Recipe,
    chosen: dict[Numbers, set[str]],
    samples: Samples | None,
    signature: Signature,
    tell: Progress,
) -> dict[str, Choice]:
    """Round the weights that get 4 bits; a share of those of dense layers gets 8 instead."""
    in_4_bits = chosen[INT4] | chosen[DYNAMIC_INT4]
    if not in_4_bits:
        return {}
    from kzoo_export.tflite.passes.int4 import round_weights, with_rounded

    tell("calibrate", 0.0)
    moments = _moments(model, chosen[DYNAMIC_INT4], samples, signature)
    tell("round", 0.0)
    rounded = round_weights(model, in_4_bits, moments)
    if recipe.wide_share and moments:
        from kzoo_export.tflite.sensitivity import loss_meter

        loss_of = loss_meter(model, enough(samples), signature)

        def loss(name: str) -> float:
            return loss_of(with_rounded(model, name, rounded[name]))

        counted = told(loss, tell, "scan", len(chosen[DYNAMIC_INT4]))
        return widen(chosen, rounded, counted, recipe.wide_share)
    return rounded


def _moments(
    model: Any, weights: Set[str], samples: Samples | None, signature: Signature
) -> dict[str, Moments]:
    """Measure the inputs of dense layers that get 4 bits, by the name of the weight."""
    from kzoo_export.tflite.calibrate import measure_moments
    from kzoo_export.tflite.passes.int4 import inputs_of

    read = inputs_of(model, weights)
    if not read:
        return {}
    tensors = set().union(*read.values())
    content = flatbuffer.write(model)
    found = measure_moments(content, enough(samples), tensors, signature.mask)
    return {weight: merge(found[each] for each in sorted(read[weight])) for weight in read}


def _make_quantizable(
    model: Any, recipe: Recipe, samples: Samples
) -> dict[str, tuple[float, float]]:
    """Rewrite what integers would ruin, in place, and measure the range of every tensor."""
    from kzoo_export.tflite.calibrate import measure_channels, measure_ranges
    from kzoo_export.tflite.passes.hard_swish import decompose_hard_swish
    from kzoo_export.tflite.passes.masks import bound_masks, find_masks, make_masks_finite
    from kzoo_export.tflite.passes.normalization import normalize_twice
    from kzoo_export.tflite.passes.outliers import move_outliers
    from kzoo_export.tflite.passes.probabilities import split_probabilities
    from kzoo_export.tflite.passes.static import separate_outputs

    if find_masks(model):
        make_masks_finite(model)
        bound_masks(model, measure_ranges(flatbuffer.write(model), samples))
    if any(rule.numbers == STATIC_INT8 for rule in recipe.rules):
        # 16 bits hold outliers and all the rest.
        move_outliers(model, measure_channels(flatbuffer.write(model), samples))
        split_probabilities(model)
    decompose_hard_swish(model)
    wider = normalize_twice(model)
    separate_outputs(model)
    ranges = measure_ranges(flatbuffer.write(model), samples)
    for name, factor in wider.items():
        low, high = ranges[name]
        ranges[name] = low * factor, high * factor
    return ranges


def check(recipe: Recipe, portable: bool = False) -> None:
    """Refuse a recipe that the format cannot obey.

    Args:
        recipe: The recipe.
        portable: About ONNX: all operations of TFLite files are standard ones.

    Raises:
        ValueError: If there is no such recipe for TFLite.
    """
    check_numbers(recipe, _ABILITIES, "TFLite")


def calibrates(recipe: Recipe) -> bool:
    """Say whether a recipe looks at samples.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.
    """
    return recipe.calibrates
