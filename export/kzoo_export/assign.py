"""Assign: the numbers that each weight of a file gets from a recipe."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from kzoo_export.errors import RecipeError
from kzoo_export.recipe import (
    BLOCK,
    DYNAMIC_INT8,
    FLOAT16,
    FLOAT32,
    INT4,
    INT8,
    OPERATIONS,
    Numbers,
    Override,
    Recipe,
)


class Weight(NamedTuple):
    """A weight of a file: the path of its layer, what it is used for, and the numbers in a row.

    A weight of several uses has the first that is no lookup; one of no known use has `"other"`.
    """

    path: str
    operation: str
    width: int


def first_use(operations: Iterable[str]) -> str:
    """Choose the operation that says which numbers a weight of several uses can have.

    Args:
        operations: What it is used for.

    Returns:
        The first that is no lookup, as fewer numbers do for products than for lookups.
    """
    used = [operation for operation in operations if operation != "other"]
    return next((each for each in used if each != "embedding"), used[0] if used else "other")


def check_finite(name: str, operation: str, array: np.ndarray) -> None:
    """Refuse a weight that has no scale; masks of infinities, which nothing rounds, may be there.

    Args:
        name: Its name.
        operation: What it is used for.
        array: Its numbers.

    Raises:
        ValueError: If there is NaN or infinity in it.
    """
    if operation != "other" and not np.isfinite(array).all():
        raise ValueError(
            "`model` must have finite weights, to store them in fewer bits. "
            f"Received: NaN or infinity in {name}"
        )


# The numbers that a format has, and the operations whose weights can have them.
Abilities = Mapping[Numbers, Iterable[str]]
# What both formats have.
ABILITIES: Abilities = {
    FLOAT32: (*OPERATIONS, "other"),
    FLOAT16: (*OPERATIONS, "other"),
    # Tables that are added are not worth it: they are small, and a sum keeps every error.
    INT8: OPERATIONS,
    # Only products are computed in integers: convolutions and recurrent layers widen their weights.
    DYNAMIC_INT8: OPERATIONS,
    INT4: ("embedding",),
}


def check_numbers(recipe: Recipe, abilities: Abilities, format: str) -> None:
    """Refuse a recipe that a format cannot obey in full.

    Args:
        recipe: The recipe.
        abilities: What the format has.
        format: Its name, for the message.

    Raises:
        ValueError: If it has no such numbers.
    """
    for numbers in (rule.numbers for rule in recipe.rules):
        if numbers not in abilities:
            known = "; ".join(f"{weights}, {activations}" for weights, activations in abilities)
            raise ValueError(
                f"`recipe` must have weights and activations that {format} files can have: "
                f"{known}. Received: recipe={recipe.name!r} with {', '.join(numbers)}"
            )


def assign(
    recipe: Recipe, weights: Mapping[str, Weight], abilities: Abilities
) -> dict[Numbers, set[str]]:
    """Choose the numbers of every weight of a file.

    Args:
        recipe: The recipe.
        weights: The weights by a name of their own.
        abilities: What the format has.

    Returns:
        The names of the weights by the numbers they get. What can have none stays as it is.

    Raises:
        RecipeError: If an override is about no weight that can have its numbers, or if the rows of
            a weight cannot be cut into blocks.
    """

    def applies(rule: Override, weight: Weight) -> bool:
        of_format = weight.operation in abilities[rule.numbers]
        return of_format and rule.covers(weight.path, weight.operation)

    chosen: dict[Numbers, set[str]] = {numbers: set() for numbers in abilities}
    for name, weight in weights.items():
        rule = next((rule for rule in reversed(recipe.rules) if applies(rule, weight)), None)
        if rule is None:
            continue
        if rule.weights == "int4" and weight.width % BLOCK:
            raise RecipeError(
                f"The recipe {recipe.name!r} stores blocks of {BLOCK} numbers, and {weight.path} "
                f"has rows of {weight.width}. Give it other numbers by an override with its `scope`"
            )
        chosen[rule.numbers].add(name)
    unused = [
        override
        for override in recipe.overrides
        if not any(applies(override, weight) for weight in weights.values())
    ]
    for override in unused:
        # One about all of a kind may find none in a model, where another one does.
        if override.scope or len(unused) == len(recipe.overrides):
            paths = "\n  ".join(f"{weight.operation}: {weight.path}" for weight in weights.values())
            raise RecipeError(
                f"An override of the recipe {recipe.name!r} is about no weight that can be stored "
                f"so: {override}. Weights of the file:\n  {paths}"
            )
    return chosen
