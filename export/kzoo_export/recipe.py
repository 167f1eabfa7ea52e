"""Recipes: how the numbers of a model are stored and computed, as data."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from kzoo.arguments import check_choice, close_matches

# Weights of fewer numbers stay float32: they save nothing, and their scales cost as much.
SMALLEST_WEIGHT = 1024
# What weights are used for: products with an activation, lookups, convolutions, recurrent layers.
OPERATIONS = ("dense", "embedding", "convolution", "recurrent")
# Numbers of a row that share a scale where they have 4 bits.
BLOCK = 32


class Numbers(NamedTuple):
    """How one weight is stored, and what the activations are that are multiplied by it."""

    weights: str
    activations: str


FLOAT32 = Numbers("float32", "float32")
FLOAT16 = Numbers("float16", "float32")
INT8 = Numbers("int8", "float32")
DYNAMIC_INT8 = Numbers("int8", "dynamic_int8")
INT4 = Numbers("int4", "float32")
DYNAMIC_INT4 = Numbers("int4", "dynamic_int8")
STATIC_INT8 = Numbers("int8", "int8")
STATIC_INT16 = Numbers("int8", "int16")
# Activations whose scales are found on samples, before the file runs.
STATIC = (STATIC_INT8, STATIC_INT16)


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
class Override:
    """Other numbers for some of the weights of a recipe.

    `scope` is a regular expression that is searched in the path of the layer, such as
    `"block_0/attention"`; `operation` is one of `OPERATIONS`. By default, either takes all.

    Raises:
        ValueError: If the operation is unknown or the scope no regular expression.
    """

    weights: str
    activations: str = "float32"
    scope: str = ""
    operation: str = "*"

    def __post_init__(self) -> None:
        check_choice(("*", *OPERATIONS), operation=self.operation)
        try:
            re.compile(self.scope)
        except re.error as error:
            raise ValueError(
                f"`scope` must be a regular expression. Received: scope={self.scope!r} ({error})"
            ) from error

    @property
    def numbers(self) -> Numbers:
        """The numbers it asks for."""
        return Numbers(self.weights, self.activations)

    def __str__(self) -> str:
        where = f" in {self.scope!r}" if self.scope else ""
        operation = "weights" if self.operation == "*" else f"{self.operation} weights"
        return f"{operation}{where}: {self.weights}, activations {self.activations}"

    def covers(self, path: str, operation: str) -> bool:
        """Tell whether the override is about a weight with that path and operation."""
        of_operation = self.operation in ("*", operation)
        return of_operation and re.search(self.scope, path) is not None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to store and compute a model's numbers; the same names for both formats.

    The quantizers read `weights` (the dtype they are stored in) and `activations` (`float32`;
    `dynamic_int8`: 8 bits entering a product, with a scale found at run time; `int8` or `int16`:
    all operations in integers, with scales found on calibration samples). `size_ratio` is
    what to expect of a large model's file against its float32 weights. Where several `overrides`
    are about one weight, the last one counts. With static int8 activations, `max_loss` bounds what
    the cosine of the outputs may lose, in the mean over calibration samples: operations that lose
    most get activations of 16 bits, until the bound holds; with `every_product` no product does.
    """

    name: str
    weights: str
    activations: str
    tolerance: Tolerance
    size_ratio: float
    description: str
    overrides: tuple[Override, ...] = ()
    max_loss: float = 1.0
    every_product: bool = False

    @property
    def rules(self) -> tuple[Override, ...]:
        """What the recipe asks for everywhere, and its overrides: the last one counts."""
        return (Override(self.weights, self.activations), *self.overrides)

    @property
    def is_static(self) -> bool:
        """Whether activations have scales that are found on samples."""
        return any(rule.numbers in STATIC for rule in self.rules)

    @property
    def calibrates(self) -> bool:
        """Whether samples decide on scales of activations, or on the rounding of weights."""
        return self.is_static or any(rule.numbers == DYNAMIC_INT4 for rule in self.rules)

    @property
    def smaller_dtypes(self) -> frozenset[str]:
        """The dtypes that weights become smaller by; none where all stay float32."""
        return frozenset(rule.weights for rule in self.rules) - {"float32"}

    @property
    def required_dtypes(self) -> frozenset[str]:
        """The smaller dtypes of which a file must have weights.

        What is asked for everywhere may find nothing where all dense layers have other numbers.
        """
        others = any(not each.scope and each.covers("", "dense") for each in self.overrides)
        rules = self.overrides if others else self.rules
        return frozenset(rule.weights for rule in rules) - {"float32"}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Rebuild a recipe from `dataclasses.asdict`.

        Args:
            fields: The fields, possibly after a trip through JSON.

        Returns:
            The equal recipe.
        """
        overrides = tuple(Override(**each) for each in fields.get("overrides", ()))
        tolerance = Tolerance(**fields["tolerance"])
        return cls(**{**fields, "tolerance": tolerance, "overrides": overrides})


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
        # The weights of dynamic_int8 with nothing rounded at run time. MiniLM keeps 0.9995 (least
        # 0.9994): the bounds leave at least four times the loss for deeper models.
        Recipe(
            name="weight_int8",
            weights="int8",
            activations="float32",
            tolerance=Tolerance(cosine_mean=0.998, cosine_min=0.99, max_abs=0.3, agreement=0.9),
            size_ratio=0.27,
            description="a quarter of the size, float32 arithmetic",
        ),
        # Rows of a table in 4 bits have about four percent of noise, which is different for every
        # token and averages out over a text. MiniLM keeps 0.998 (least 0.996): the bounds leave
        # four times the mean loss for texts of few tokens and deeper models.
        Recipe(
            name="dynamic_int8_embedding_int4",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.99, cosine_min=0.95, max_abs=0.6, agreement=0.75),
            size_ratio=0.21,
            description="as dynamic_int8, with tables of embeddings in 4 bits",
            overrides=(Override("int4", operation="embedding"),),
        ),
        # Rounding to 4 bits leaves about eight percent of noise in a weight, which is spread so
        # that what layers compute of real inputs loses little. The sentence vectors of MiniLM keep
        # 0.986 (least 0.960), single tokens less: the bounds leave three times the loss.
        Recipe(
            name="weight_int4",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.94, cosine_min=0.75, max_abs=1.0, agreement=0.6),
            size_ratio=0.15,
            description="dense layers and tables in 4 bits, rounded on samples",
            overrides=(
                Override("int4", "dynamic_int8", operation="dense"),
                Override("int4", operation="embedding"),
            ),
        ),
        # 16 bits hold activations to a few thousandths of a percent, so that the weights are what
        # is left of the noise. MiniLM keeps 0.9994 (least 0.9985): the bounds leave ten times the
        # loss for deeper models and for ranges that the calibration did not see.
        Recipe(
            name="static_int16x8",
            weights="int8",
            activations="int16",
            tolerance=Tolerance(cosine_mean=0.994, cosine_min=0.97, max_abs=0.4, agreement=0.85),
            size_ratio=0.27,
            description="integers alone, activations of 16 bits; for NPUs and DSPs",
        ),
        # Activations keep 8 bits with one scale a tensor, outliers included. MiniLM keeps 0.9975
        # (least 0.993): the bounds leave ten times the loss for deeper models.
        Recipe(
            name="static_int8",
            weights="int8",
            activations="int8",
            tolerance=Tolerance(cosine_mean=0.97, cosine_min=0.93, max_abs=0.8, agreement=0.7),
            size_ratio=0.27,
            description="integers alone, activations of 8 bits, of 16 where 8 lose too much",
            max_loss=0.003,
        ),
        # MiniLM keeps 0.9955 (least 0.990) with all products in int8: the bounds leave ten times
        # the loss as well.
        Recipe(
            name="static_int8_strict",
            weights="int8",
            activations="int8",
            tolerance=Tolerance(cosine_mean=0.95, cosine_min=0.9, max_abs=0.9, agreement=0.6),
            size_ratio=0.27,
            description="as static_int8, with every product in int8",
            max_loss=0.003,
            every_product=True,
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
