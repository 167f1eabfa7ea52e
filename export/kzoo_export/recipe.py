"""Recipes: how the numbers of a model are stored and computed, as data."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from kzoo.arguments import close_matches

# Weights of fewer numbers stay float32: they save nothing, and their scales cost as much.
SMALLEST_WEIGHT = 1024


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a file may be from its model and still be accepted.

    `max_abs` is relative to the largest magnitude of the output (at least 1), so that it means
    the same for logits of a hundred and for probabilities. `agreement` is the least share of equal
    integers, and of logits with the same largest entry.
    """

    cosine_mean: float
    cosine_min: float
    max_abs: float
    agreement: float


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to store and compute a model's numbers; the same names for both formats.

    The quantizers read `weights` (the dtype they are stored in) and `activations` (`float32`, or
    `dynamic_int8`: 8 bits entering a product, with a scale found at run time). `size_ratio` is
    what to expect of a large model's file against its float32 weights.
    """

    name: str
    weights: str
    activations: str
    tolerance: Tolerance
    size_ratio: float
    description: str

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Rebuild a recipe from `dataclasses.asdict`.

        Args:
            fields: The fields, possibly after a trip through JSON.

        Returns:
            The equal recipe.
        """
        return cls(**{**fields, "tolerance": Tolerance(**fields["tolerance"])})


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Only the order of float32 sums differs: errors are a few 1e-6 of the largest value even
        # after twelve layers. 1e-3 leaves room for values that cancel, and still catches a wrong
        # activation (tanh for erf GELU is 4e-3), a wrong epsilon or a dropped mask.
        Recipe(
            name="float32",
            weights="float32",
            activations="float32",
            tolerance=Tolerance(
                cosine_mean=0.99999, cosine_min=0.99999, max_abs=1e-3, agreement=0.99
            ),
            size_ratio=1.03,
            description="the model as it is",
        ),
        # Weights keep 11 significant bits, a relative error of 2^-12 each, which averages out over
        # a dot product; the arithmetic stays float32.
        Recipe(
            name="float16",
            weights="float16",
            activations="float32",
            tolerance=Tolerance(
                cosine_mean=0.9999, cosine_min=0.9999, max_abs=2e-2, agreement=0.95
            ),
            size_ratio=0.51,
            description="half the size, float32 arithmetic",
        ),
        # Weights and the activations entering a product keep 8 bits: about half a percent of noise
        # a product, which normalization layers neither shrink nor amplify much. The sentence
        # vectors of MiniLM keep 0.998 (least 0.997), its hidden states 0.998 (least 0.995): the
        # bounds leave half as much again for deeper models, and a broken file is far below them.
        Recipe(
            name="dynamic_int8",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.995, cosine_min=0.97, max_abs=0.5, agreement=0.8),
            size_ratio=0.27,
            description="a quarter of the size and fast on CPUs",
        ),
    )
}


def get_recipe(recipe: str | Recipe) -> Recipe:
    """Look a recipe up by name.

    Args:
        recipe: A recipe's name, or a recipe, which is returned as it is.

    Returns:
        The recipe.

    Raises:
        ValueError: If no recipe has that name; the message has the closest names.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(
            f"`recipe` must be the name of a recipe. Received: recipe={recipe!r}. "
            f"{close_matches(str(recipe), RECIPES)}"
        )
    return RECIPES[recipe]


Method = TypeVar("Method")


def find_method(methods: Mapping[tuple[str, str], Method], recipe: Recipe, format: str) -> Method:
    """Find how a format quantizes as a recipe says.

    Args:
        methods: The methods of the format by (weights, activations).
        recipe: The recipe.
        format: The name of the format, for the message.

    Returns:
        The method.

    Raises:
        ValueError: If there is none: no recipe is obeyed in part.
    """
    wanted = (recipe.weights, recipe.activations)
    if wanted not in methods:
        known = "; ".join(f"{weights}, {activations}" for weights, activations in methods)
        raise ValueError(
            f"`recipe` must have weights and activations that {format} files can have: {known}. "
            f"Received: recipe={recipe.name!r} with {recipe.weights}, {recipe.activations}"
        )
    return methods[wanted]
