"""Any number of labels of a text, also none."""

import collections
import itertools
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kzoo.problems.problem import Predictions, Problem, check_list, f1_of, probabilities_by_name


class MultiLabelScores(NamedTuple):
    """How good predictions of several labels are.

    `loss` is the mean binary cross-entropy in nats over texts and labels, `accuracy` the share of
    texts whose labels are all right, `micro_f1` F1 over all texts and labels, `macro_f1` the mean
    of F1 over the labels that occur, and `f1` that of each label.
    """

    loss: float
    accuracy: float
    micro_f1: float
    macro_f1: float
    f1: dict[str, float]


_EXPECTED = "a list or tuple of labels for each text, or an array (N, C) of 0 and 1"
_PARSED = "a list of strings or integers, or a string of labels with commas between them"


def _parse(value: Any) -> tuple[str, ...] | None:
    """Read a list, or what commas separate; an empty one is a text without labels."""
    if isinstance(value, str):
        value = value.split(",") if value.strip() else []
    if not isinstance(value, list) or not all(isinstance(each, str | int) for each in value):
        return None
    labels = {str(each).strip() for each in value}
    return None if "" in labels else tuple(sorted(labels))


def _names(labels: Iterable[tuple[str, ...]]) -> list[str]:
    return sorted(set(itertools.chain.from_iterable(labels)))


def _strata(labels: Sequence[tuple[str, ...]]) -> list[Hashable]:
    """Group texts by their rarest label: few have the same labels altogether."""
    counts = collections.Counter(itertools.chain.from_iterable(labels))
    return [min(each, key=lambda name: (counts[name], name), default=None) for each in labels]


def _read(name: str, labels: Any, names: Sequence[str]) -> np.ndarray:
    """Read names of labels, or an array of 0 and 1: float32 (N, C)."""
    check_list(name, labels, _EXPECTED)
    if hasattr(labels, "shape"):
        return _read_array(name, np.asarray(labels), len(names))
    known = {label: index for index, label in enumerate(names)}
    found = np.zeros((len(labels), len(names)), "float32")
    for place, each in enumerate(labels):
        if isinstance(each, str) or not isinstance(each, Collection):
            raise ValueError(f"`{name}` must be {_EXPECTED}. Received: {name}[{place}]={each!r}")
        for label in each:
            # Numbers would be indices to some and 0 or 1 to others.
            if not isinstance(label, str) or label not in known:
                raise ValueError(
                    f"`{name}` must have labels of the classifier, "
                    f"{', '.join(map(repr, known))}. Received: {label!r} in {name}[{place}]"
                )
            found[place, known[label]] = 1.0
    return found


def _read_array(name: str, array: np.ndarray, count: int) -> np.ndarray:
    known = array.ndim == 2 and array.shape[1] == count and array.dtype.kind in "biuf"
    if not known or not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"`{name}` must be {_EXPECTED}, C={count}. Received: {name} of the shape "
            f"{array.shape} and the dtype {array.dtype}"
            + (f" with {array[~np.isin(array, (0, 1))][0]}" if known else "")
        )
    return array.astype("float32")


def _label(row: Any, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, there in zip(names, row, strict=True) if there)


def _predict(logits: np.ndarray, names: Sequence[str]) -> Predictions:
    """Choose the labels that are more likely than not."""
    # Where the exponential would overflow, the probability is 0 in float32.
    probabilities = 1.0 / (1.0 + np.exp(-np.maximum(logits, -88.0)))
    return Predictions([_label(row, names) for row in logits > 0], probabilities)


def _to_records(predicted: Predictions, names: Sequence[str]) -> list[dict[str, Any]]:
    shares = probabilities_by_name(predicted, names)
    return [
        {"labels": list(labels), "probabilities": each}
        for labels, each in zip(predicted.labels, shares, strict=True)
    ]


def _score(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> MultiLabelScores:
    chosen, there = logits > 0, labels > 0
    hits, counts = (chosen & there).sum(axis=0), chosen.sum(axis=0) + there.sum(axis=0)
    f1 = f1_of(hits, counts)
    # The softplus of a logit, less the logit where the label is there.
    losses = np.maximum(logits, 0) - logits * there + np.log1p(np.exp(-np.abs(logits)))
    occur = f1[counts > 0]
    return MultiLabelScores(
        loss=float(losses.mean()),
        accuracy=float((chosen == there).all(axis=1).mean()),
        micro_f1=float(f1_of(hits.sum(), counts.sum())),
        macro_f1=float(occur.mean()) if len(occur) else 0.0,
        f1=dict(zip(names, f1.tolist(), strict=True)),
    )


MULTI_LABEL = Problem(
    name="multi_label",
    huggingface="multi_label_classification",
    output_kind="label_logits",
    fits=lambda count: count >= 1,
    names_needed="different names",
    metric="micro_f1",
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
