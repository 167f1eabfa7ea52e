"""A number that a text has, such as how similar the texts of a pair are."""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kzoo.problems.problem import Problem, check_list


class RegressionScores(NamedTuple):
    """How good predicted numbers are.

    `loss` is the mean squared error, `pearson` and `spearman` are the correlations with the true
    numbers and of their ranks, 0 where all numbers of a side are the same.
    """

    loss: float
    pearson: float
    spearman: float


_PARSED = "a number"
_LARGEST = float(np.finfo("float32").max)


def _parse(value: Any) -> float | None:
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _names(labels: Iterable[float]) -> list[str]:
    return []


def _strata(labels: Sequence[float]) -> list[Hashable]:
    return [None] * len(labels)


def _read(name: str, labels: Any, names: Sequence[str]) -> np.ndarray:
    """Read finite numbers, one a text: float32 (N, 1)."""
    check_list(name, labels, "a list of numbers")
    shape = getattr(labels, "shape", None)
    if shape is not None and tuple(shape) not in ((len(labels),), (len(labels), 1)):
        raise ValueError(
            f"`{name}` must have one number a text. Received: {name} of the shape {tuple(shape)}"
        )
    entries = list(labels) if shape is None else np.reshape(labels, -1).tolist()
    for place, entry in enumerate(entries):
        is_number = isinstance(entry, int | float | np.number) and not isinstance(entry, bool)
        # Not so of NaN.
        if not is_number or not abs(entry) <= _LARGEST:
            raise ValueError(
                f"`{name}` must be numbers, finite in float32. Received: {name}[{place}]={entry!r}"
            )
    return np.array(entries, "float32").reshape(-1, 1)


def _label(row: Any, names: Sequence[str]) -> float:
    return float(row[0])


def _predict(logits: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the numbers: float32 (N,)."""
    return np.asarray(logits[:, 0], "float32")


def _to_records(predicted: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"value": value} for value in predicted.tolist()]


def _score(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> RegressionScores:
    predicted, true = logits[:, 0].astype("float64"), labels[:, 0].astype("float64")
    return RegressionScores(
        loss=float(np.mean((predicted - true) ** 2)),
        pearson=_correlation(predicted, true),
        spearman=_correlation(_ranks(predicted), _ranks(true)),
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank values; equal ones share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


REGRESSION = Problem(
    name="regression",
    huggingface="regression",
    output_kind="regression_values",
    fits=lambda count: count == 1,
    names_needed="one name, that of the number",
    metric="pearson",
    parse=_parse,
    parsed=_PARSED,
    names=_names,
    strata=_strata,
    read=_read,
    label=_label,
    predict=_predict,
    score=_score,
    to_records=_to_records,
)
