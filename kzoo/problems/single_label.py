"""One label of a text."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kzoo.problems.problem import Predictions, Problem, check_list, f1_of, probabilities_by_name


class Scores(NamedTuple):
    """How good predictions of one label are.

    `loss` is the mean cross-entropy in nats, `accuracy` the share of right ones, `macro_f1` the
    mean of F1 over the labels that occur, `f1` that of each label, and `confusion` (C, C) counts
    how often each true label (row) got each label (column).
    """

    loss: float
    accuracy: float
    macro_f1: float
    f1: dict[str, float]
    confusion: np.ndarray


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities.

    Args:
        logits: (N, C).

    Returns:
        Probabilities (N, C), whose rows sum to 1.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


_PARSED = "a string or an integer, not empty"


def _parse(value: Any) -> str | None:
    text = str(value).strip() if isinstance(value, str | int) else ""
    return text or None


def _names(labels: Iterable[str]) -> list[str]:
    return sorted(set(labels))


def _strata(labels: Sequence[str]) -> list[Hashable]:
    return list(labels)


def _read(name: str, labels: Any, names: Sequence[str]) -> np.ndarray:
    """Read names of labels, or their indices: int32 (N,)."""
    check_list(name, labels, "a list of labels")
    known = {label: index for index, label in enumerate(names)}
    found = []
    for place, label in enumerate(labels):
        index = known.get(label) if isinstance(label, str) else _index(label, len(known))
        if index is None:
            raise ValueError(
                f"`{name}` must be labels of the classifier, {', '.join(map(repr, known))}, or "
                f"their indices. Received: {name}[{place}]={label!r}"
            )
        found.append(index)
    return np.array(found, "int32")


def _index(label: Any, count: int) -> int | None:
    """Read an index of a label."""
    is_index = isinstance(label, int | np.integer) and not isinstance(label, bool | np.bool_)
    return int(label) if is_index and 0 <= label < count else None


def _label(index: Any, names: Sequence[str]) -> str:
    return names[index]


def _predict(logits: np.ndarray, names: Sequence[str]) -> Predictions:
    """Choose the most likely label."""
    probabilities = _softmax(logits)
    labels = [_label(index, names) for index in probabilities.argmax(axis=1)]
    return Predictions(labels, probabilities)


def _to_records(predicted: Predictions, names: Sequence[str]) -> list[dict[str, Any]]:
    shares = probabilities_by_name(predicted, names)
    return [
        {"label": label, "probabilities": each}
        for label, each in zip(predicted.labels, shares, strict=True)
    ]


def _score(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Scores:
    chosen = logits.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (labels, chosen), 1)
    hits, counts = np.diagonal(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    f1 = f1_of(hits, counts)
    losses = -np.log(np.maximum(_softmax(logits)[np.arange(len(labels)), labels], 1e-38))
    return Scores(
        loss=float(losses.mean()),
        accuracy=float((chosen == labels).mean()),
        # A label that is neither there nor predicted has nothing to count.
        macro_f1=float(f1[counts > 0].mean()),
        f1=dict(zip(names, f1.tolist(), strict=True)),
        confusion=confusion,
    )


SINGLE_LABEL = Problem(
    name="single_label",
    huggingface="single_label_classification",
    output_kind="class_logits",
    fits=lambda count: count >= 2,
    names_needed="two or more different names",
    metric="accuracy",
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
