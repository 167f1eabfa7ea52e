"""Recipes: how the numbers of a model are stored and computed, as data."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kzoo_export.spec import ExportError, close_matches


class RecipeError(ExportError):
    """A recipe that changed nothing in the file."""


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far an artefact may be from its model and still be accepted.

    `max_abs` is relative to the largest magnitude of the output (at least 1), so that it means
    the same for logits of a hundred and for probabilities.
    """

    cosine_mean: float
    cosine_min: float
    max_abs: float


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to store and compute a model's numbers; the same names for both formats.

    `size_ratio` is what to expect of a large model's file against its float32 weights;
    `calibrated` names the formats in which the recipe looks at samples.
    """

    name: str
    weights: str
    activations: str
    tolerance: Tolerance
    size_ratio: float
    description: str
    calibrated: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Rebuild a recipe from `dataclasses.asdict`.

        Args:
            fields: The fields, possibly after a trip through JSON.

        Returns:
            The equal recipe.
        """
        tolerance = Tolerance(**fields["tolerance"])
        calibrated = tuple(fields["calibrated"])
        return cls(**{**fields, "tolerance": tolerance, "calibrated": calibrated})


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
            tolerance=Tolerance(cosine_mean=0.99999, cosine_min=0.99999, max_abs=1e-3),
            size_ratio=1.03,
            description="the model as it is",
        ),
        # Weights keep 11 significant bits, a relative error of 2^-12 each, which averages out over
        # a dot product; the arithmetic stays float32.
        Recipe(
            name="float16",
            weights="float16",
            activations="float32",
            tolerance=Tolerance(cosine_mean=0.9999, cosine_min=0.9999, max_abs=2e-2),
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
            activations="int8, scaled at run time",
            tolerance=Tolerance(cosine_mean=0.995, cosine_min=0.97, max_abs=0.5),
            size_ratio=0.27,
            description="a quarter of the size and fast on CPUs",
            calibrated=("onnx",),
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
