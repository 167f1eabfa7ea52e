"""Recipes: how the numbers of a model are stored and computed, as data."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from kzoo.arguments import check_choice

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
    most get activations of 16 bits (TFLite) or float ones (ONNX), until the bound holds; with
    `every_product` no product does.
    Of the dense layers that are rounded to 4 bits on samples, those that lose most get 8 bits, up
    to the part `wide_share` of their weights. Without `float_io`, inputs and outputs of a file with
    static activations are integers as well, whose scales are in the report.

    Raises:
        ValueError: If there is no such share, or nothing it could be a share of; or if inputs and
            outputs cannot be integers.
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
    wide_share: float = 0.0
    float_io: bool = True

    def __post_init__(self) -> None:
        rounds = any(rule.numbers == DYNAMIC_INT4 for rule in self.rules)
        if self.wide_share and not (rounds and 0.0 < self.wide_share < 1.0):
            raise ValueError(
                "`wide_share` must be from 0 to 1, in a recipe with dense layers in int4. "
                f"Received: wide_share={self.wide_share}, recipe={self.name!r}"
            )

        if not (self.float_io or self.is_static):
            raise ValueError(
                "`float_io` must be true for a recipe whose activations are float or have their "
                f"scales at run time. Received: float_io=False, recipe={self.name!r}"
            )

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
