"""Measure which operations of a file can have activations of 8 bits, by running it.

A file whose outputs lose no more than its recipe allows has 8 bits everywhere. Else all that is no
product gets 16, which costs next to nothing; then the products that lose most, as few as hold the
bound: those of all blocks together are measured first, then those that lose most one at a time.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from kzoo_export.artifact.compare import compare_with
from kzoo_export.mixed import alike, fewest, most_trials
from kzoo_export.progress import Progress, silent, told
from kzoo_export.recipe import STATIC_INT8, Numbers, Recipe
from kzoo_export.spec import Signature
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.calibrate import Ranges, run_outputs
from kzoo_export.tflite.passes.static import (
    float_operations,
    quantize_operations,
    with_int16,
)

Arrays = Mapping[str, np.ndarray]
Operations = dict[str, Numbers]


def choose_int16(
    model: Any,
    operations: Operations,
    ranges: Ranges,
    samples: Arrays,
    recipe: Recipe,
    signature: Signature,
    tell: Progress = silent,
) -> Operations:
    """Choose which operations get activations of 16 bits instead of 8.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        operations: The numbers of each operation, by the name of its first result.
        ranges: The least and the largest number of each computed tensor.
        samples: Calibration samples by input name.
        recipe: How much the outputs may lose, and whether products may have 16 bits.
        signature: The kinds of inputs and outputs, by which these are compared.
        tell: Told of every file that is measured.

    Returns:
        The numbers of each operation.
    """
    table = float_operations(model)
    in_int8 = [name for name, numbers in operations.items() if numbers == STATIC_INT8]
    if not in_int8:
        return operations
    products = [name for name in in_int8 if table[name].is_product]
    loss_of = loss_meter(model, samples, signature)
    loss_of = told(loss_of, tell, "scan", most_trials(products))

    def loss(candidate: Operations) -> float:
        return loss_of(quantize_operations(model, candidate, ranges))

    def by_16(names: Collection[str]) -> Operations:
        return with_int16(operations, names, table)

    if loss(by_16([])) <= recipe.max_loss:
        return by_16([])
    wide = [name for name in in_int8 if not (table[name].is_product or table[name].is_move)]
    if recipe.every_product:
        return by_16(wide)

    def alone(names: list[str]) -> float:
        return loss(dict.fromkeys(names, STATIC_INT8))

    def holds(names: list[str]) -> bool:
        return loss(by_16(wide + names)) <= recipe.max_loss

    chosen = fewest(alike(products), alone, holds)
    return by_16(wide + fewest([[name] for name in chosen], alone, holds))


def loss_meter(model: Any, samples: Arrays, signature: Signature) -> Callable[[Any], float]:
    """Prepare to measure what other models lose beside a float model.

    Args:
        model: The float32 `ModelT`.
        samples: Samples by input name, a few of which are run.
        signature: The kinds of inputs and outputs, by which these are compared.

    Returns:
        A function of a `ModelT`: the mean of what its outputs lose.
    """
    return compare_with(
        lambda other, rows: run_outputs(flatbuffer.write(other), rows), model, samples, signature
    )
