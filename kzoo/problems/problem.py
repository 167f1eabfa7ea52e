"""What all kinds of problems have."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# What people call the scores that are one number.
SCORE_NAMES = {
    "accuracy": "accuracy",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "loss": "loss",
}


class Predictions(NamedTuple):
    """What is predicted of each of N texts, and the probability (N, C) of every label.

    `labels` has the most likely label of each text or, where a text may have several, a tuple of
    those that are more likely than not.
    """

    labels: list[Any]
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a classifier tells of a text, by the functions that differ.

    Attributes:
        name: What users call it.
        huggingface: What Hugging Face calls it, as `problem_type`.
        output_kind: The kind of its logits, as the exporter compares them.
        fits: Whether there can be so many labels, C.
        names_needed: How many those are, in words.
        metric: The field of the scores that tells most.
        parse: Turns what a table has as the label of a row into the label, None where it is none.
        parsed: What a table may have, in words.
        names: Lists the names that the labels of rows have, in order; none of numbers.
        strata: Groups rows, by their labels, of each of which a share is set aside.
        read: Turns what a user calls the labels of N texts, given the name of the argument and the
            names of the labels, into an array: int32 (N,), or float32 (N, C).
        label: Turns a row of such an array back into a label, given the names.
        predict: Turns logits (N, C) and names into `Predictions`, or numbers (N,).
        score: Compares logits with what `read` returned, given the names.
        to_records: Turns what `predict` returned into JSON types by name, for each row.
    """

    name: str
    huggingface: str
    output_kind: str
    fits: Callable[[int], bool]
    names_needed: str
    metric: str
    parse: Callable[[Any], Any]
    parsed: str
    names: Callable[[Iterable[Any]], list[str]]
    strata: Callable[[Sequence[Any]], list[Hashable]]
    read: Callable[[str, Any, Sequence[str]], np.ndarray]
    label: Callable[[Any, Sequence[str]], Any]
    predict: Callable[[np.ndarray, Sequence[str]], Any]
    score: Callable[[np.ndarray, np.ndarray, Sequence[str]], Any]
    to_records: Callable[[Any, Sequence[str]], list[dict[str, Any]]]

    @property
    def metric_name(self) -> str:
        """What people call the metric."""
        return SCORE_NAMES[self.metric]

    def check_names(self, labels: Any) -> None:
        """Require names of labels.

        Args:
            labels: The names.

        Raises:
            ValueError: If there are too few or too many, or one twice.
        """
        fits = not isinstance(labels, str) and self.fits(len(labels))
        if not fits or len(set(labels)) != len(labels):
            raise ValueError(f"`labels` must be {self.names_needed}. Received: labels={labels!r}")


def named_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that are one number, by what people call them.

    Args:
        scores: The fields of scores of any problem.

    Returns:
        The numbers, the most telling one first.
    """
    return {words: scores[name] for name, words in SCORE_NAMES.items() if name in scores}


def probabilities_by_name(predicted: Predictions, names: Sequence[str]) -> list[dict[str, float]]:
    """Return the probabilities of all labels of each text.

    Args:
        predicted: What was predicted of N texts.
        names: The names of the labels.

    Returns:
        N of them.
    """
    rows = np.asarray(predicted.probabilities).tolist()
    return [dict(zip(names, row, strict=True)) for row in rows]


def check_list(name: str, labels: Any, expected: str) -> None:
    """Require something that has one entry a text.

    Args:
        name: What the user knows it by.
        labels: What came.
        expected: What it should be, in words.

    Raises:
        ValueError: If it is nothing of the kind.
    """
    if labels is None or isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={labels!r}")


def f1_of(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Compute F1 of labels.

    Args:
        hits: How often each was rightly predicted, (C,).
        counts: How often each was there, and how often it was predicted, together.

    Returns:
        (C,), 0 for a label that is neither there nor predicted.
    """
    return np.asarray(2 * hits / np.maximum(counts, 1))
