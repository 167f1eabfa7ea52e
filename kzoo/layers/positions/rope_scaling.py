"""How rotary frequencies are scaled, so that a model reads longer texts than it was trained on."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Protocol, cast

import keras
import numpy as np

from kzoo.arguments import check_choice, check_positive_integers, check_positive_numbers
from kzoo.layers.types import Tensor


class RopeScaling(Protocol):
    """Turns the frequencies of rotary positions into those for longer texts."""

    def __call__(
        self, frequencies: Tensor, rope_theta: float, length: int | Tensor
    ) -> tuple[Tensor, float]:
        """Scale the frequencies.

        Args:
            frequencies: (R / 2,) in radians a token, NumPy float64.
            rope_theta: The base they were made with.
            length: Length of the sequence: an integer, or an integer tensor if it varies.

        Returns:
            The frequencies and what to multiply rotated heads by. The frequencies are NumPy unless
            they depend on a length that is a tensor.
        """


@dataclass(frozen=True)
class LinearScaling:
    """Every frequency over `factor`: as many more positions in the same angles."""

    factor: float

    def __call__(
        self, frequencies: Tensor, rope_theta: float, length: int | Tensor
    ) -> tuple[Tensor, float]:
        """Scale; see `RopeScaling`."""
        return frequencies / self.factor, 1.0


@dataclass(frozen=True)
class DynamicScaling:
    """The base grows with the sequence, as soon as that is longer than `original_max_length`.

    The base times s^(R / (R - 2)), s = factor * length / original_max_length - (factor - 1), leaves
    the highest frequency alone and divides the lowest by s.
    """

    factor: float
    original_max_length: int

    def __call__(
        self, frequencies: Tensor, rope_theta: float, length: int | Tensor
    ) -> tuple[Tensor, float]:
        """Scale; see `RopeScaling`."""
        count = len(frequencies)
        if count < 2:
            raise ValueError(f"Dynamic scaling needs a rotary width above 2. Received: {2 * count}")
        exponents = -np.arange(count) / (count - 1)
        if isinstance(length, int):
            excess = max(length, self.original_max_length) / self.original_max_length - 1
            return frequencies * (1 + self.factor * excess) ** exponents, 1.0
        times = keras.ops.cast(length, "float32") / self.original_max_length
        stretch = 1 + self.factor * (keras.ops.maximum(times, 1.0) - 1)
        scales = keras.ops.power(stretch, exponents.astype("float32"))
        return keras.ops.multiply(scales, frequencies.astype("float32")), 1.0


@dataclass(frozen=True)
class YarnScaling:
    """High frequencies stay, low ones are divided by `factor`, those between are blended.

    A dimension that turns more than `beta_fast` times in `original_max_length` tokens is high, one
    that turns less than `beta_slow` times is low. `attention_factor` multiplies the rotated heads.
    Unless it is given, it is m(1), with m(x) = 0.1 x ln(factor) + 1, or m(mscale) /
    m(mscale_all_dim) where both are given. `truncate` moves the ends of the blend to whole
    dimensions.
    """

    factor: float
    original_max_length: int
    attention_factor: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    mscale: float | None = None
    mscale_all_dim: float | None = None

    def __call__(
        self, frequencies: Tensor, rope_theta: float, length: int | Tensor
    ) -> tuple[Tensor, float]:
        """Scale; see `RopeScaling`."""
        count = len(frequencies)
        first = self._dimension(self.beta_fast, count, rope_theta)
        last = self._dimension(self.beta_slow, count, rope_theta)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, 2 * count - 1)
        width = last - first or 0.001
        low = np.clip((np.arange(count) - first) / width, 0, 1)
        scaled = frequencies * (1 - low) + frequencies / self.factor * low
        return scaled, self._attention_factor()

    def _attention_factor(self) -> float:
        """Return what rotated heads are multiplied by."""
        if self.attention_factor is not None:
            return self.attention_factor
        growth = 0.1 * math.log(self.factor)
        if self.mscale is None or self.mscale_all_dim is None:
            return growth + 1
        return (self.mscale * growth + 1) / (self.mscale_all_dim * growth + 1)

    def _dimension(self, turns: float, count: int, rope_theta: float) -> float:
        """Return which dimension turns so many times in the original length."""
        wavelength = self.original_max_length / turns
        return count * math.log(wavelength / (2 * math.pi)) / math.log(rope_theta)


@dataclass(frozen=True)
class Llama3Scaling:
    """High frequencies stay, low ones are divided by `factor`, those between are blended.

    A frequency that turns more than `high_freq_factor` times in `original_max_length` tokens is
    high, one that turns less than `low_freq_factor` times is low.
    """

    factor: float
    original_max_length: int
    low_freq_factor: float
    high_freq_factor: float

    def __call__(
        self, frequencies: Tensor, rope_theta: float, length: int | Tensor
    ) -> tuple[Tensor, float]:
        """Scale; see `RopeScaling`."""
        turns = self.original_max_length * frequencies / (2 * math.pi)
        width = self.high_freq_factor - self.low_freq_factor
        high = np.clip((turns - self.low_freq_factor) / width, 0, 1)
        return frequencies * high + frequencies / self.factor * (1 - high), 1.0


@dataclass(frozen=True)
class LongRopeScaling:
    """Each frequency over a factor of its own, found by search: one list for short, one for long.

    The long one is for sequences longer than `original_max_length`. `factor` says how many times as
    long the longest sequence is; `attention_factor` multiplies the rotated heads:
    sqrt(1 + ln(factor) / ln(original_max_length)) unless it is given.
    """

    short_factor: tuple[float, ...]
    long_factor: tuple[float, ...]
    original_max_length: int
    factor: float = 1.0
    attention_factor: float | None = None

    def __call__(
        self, frequencies: Tensor, rope_theta: float, length: int | Tensor
    ) -> tuple[Tensor, float]:
        """Scale; see `RopeScaling`."""
        short, long = (np.asarray(each) for each in (self.short_factor, self.long_factor))
        if not len(short) == len(long) == len(frequencies):
            raise ValueError(
                f"`scaling` must have {len(frequencies)} factors, half of the rotary width. "
                f"Received: {len(short)} in 'short_factor' and {len(long)} in 'long_factor'"
            )
        attention = self.attention_factor
        if attention is None:
            attention = math.sqrt(1 + math.log(self.factor) / math.log(self.original_max_length))
        if isinstance(length, int):
            return frequencies / (long if length > self.original_max_length else short), attention
        short, long = ((frequencies / each).astype("float32") for each in (short, long))
        return keras.ops.where(length > self.original_max_length, long, short), attention


SCALINGS: dict[str, type[Any]] = {
    "linear": LinearScaling,
    "dynamic": DynamicScaling,
    "yarn": YarnScaling,
    "llama3": Llama3Scaling,
    "longrope": LongRopeScaling,
}
# What the configurations of checkpoints call the parameters.
ALIASES = {"rope_type": "type", "original_max_position_embeddings": "original_max_length"}
# Of each pair of parameters the first must be below the second.
ORDERED = (("beta_slow", "beta_fast"), ("low_freq_factor", "high_freq_factor"))


def rope_scaling(settings: Mapping[str, Any]) -> RopeScaling:
    """Return the scaling that a mapping asks for.

    Args:
        settings: `type`, a key of `SCALINGS`, and its parameters by name or alias.

    Returns:
        The scaling.

    Raises:
        ValueError: If the type is unknown, a parameter is missing, unknown or out of range.
    """
    parameters = _plain(settings) if isinstance(settings, Mapping) else {}
    if "type" not in parameters:
        raise ValueError(f"`scaling` must be a mapping with a 'type'. Received: scaling={settings}")
    kind = parameters.pop("type")
    check_choice(SCALINGS, **{"scaling['type']": kind})
    known = {field.name: field.default is MISSING for field in fields(SCALINGS[kind])}
    missing = {name for name, required in known.items() if required} - set(parameters)
    if missing or not set(parameters) <= set(known):
        raise ValueError(
            f"`scaling` of type '{kind}' takes {list(known)}, of which it requires "
            f"{[name for name, required in known.items() if required]}. "
            f"Received: scaling={dict(settings)}"
        )
    scaling = SCALINGS[kind](**parameters)
    _check_values(asdict(scaling))
    return cast(RopeScaling, scaling)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give parameters the names they have here, and turn lists into values."""
    parameters: dict[str, Any] = {}
    for given, value in settings.items():
        name = ALIASES.get(given, given)
        if parameters.get(name, value) != value:
            raise ValueError(
                f"`scaling['{name}']` must be given once. Received: scaling={dict(settings)}"
            )
        parameters[name] = tuple(value) if isinstance(value, list) else value
    return parameters


def _check_values(values: dict[str, Any]) -> None:
    """Require parameters that a scaling can work with."""
    for name, value in values.items():
        if value is not None or name not in OPTIONAL:
            CHECKS.get(name, check_positive_numbers)(**{f"scaling['{name}']": value})
    factor = values["factor"]
    if factor < 1:
        raise ValueError(
            f"`scaling['factor']` must be at least 1. Received: scaling['factor']={factor}"
        )
    for low, high in ORDERED:
        if high in values and not values[low] < values[high]:
            raise ValueError(
                f"`scaling['{low}']` must be below {high}={values[high]}. "
                f"Received: scaling['{low}']={values[low]}"
            )


def _check_truth(**arguments: Any) -> None:
    """Require every argument to be True or False."""
    for name, value in arguments.items():
        if not isinstance(value, bool):
            raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def _check_factors(**arguments: Any) -> None:
    """Require every argument to be a sequence of positive numbers."""
    for name, value in arguments.items():
        if not isinstance(value, tuple) or not value:
            raise ValueError(f"`{name}` must be a list of numbers. Received: {name}={value!r}")
        check_positive_numbers(**{f"{name}[{i}]": each for i, each in enumerate(value)})


# What a parameter must be, if it is not a positive number.
CHECKS = {
    "original_max_length": check_positive_integers,
    "truncate": _check_truth,
    "short_factor": _check_factors,
    "long_factor": _check_factors,
}
# Parameters that may be None.
OPTIONAL = ("attention_factor", "mscale", "mscale_all_dim")
