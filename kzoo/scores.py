"""What a classifier says, and how good it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Predictions(NamedTuple):
    """The most likely label of each of N texts, and the probability (N, C) of every label."""

    labels: list[str]
    probabilities: np.ndarray


class Scores(NamedTuple):
    """How good predictions are.

    `loss` is the mean cross-entropy in nats, `accuracy` the share of right ones, `macro_f1` the
    mean of F1 over the labels that occur, `f1` that of each label, and `confusion` (C, C) counts
    how often each true label (row) got each label (column).
    """

    loss: float
    accuracy: float
    macro_f1: float
    f1: dict[str, float]
    confusion: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities.

    Args:
        logits: (N, C).

    Returns:
        Probabilities (N, C), whose rows sum to 1.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def score(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Scores:
    """Compare logits with labels.

    Args:
        logits: (N, C).
        labels: The index of the true label of each row, (N,).
        names: The names of the labels.

    Returns:
        The scores.
    """
    chosen = logits.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (labels, chosen), 1)
    hits, counts = np.diagonal(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    # A label that is neither there nor predicted has nothing to count.
    f1 = 2 * hits / np.maximum(counts, 1)
    losses = -np.log(np.maximum(softmax(logits)[np.arange(len(labels)), labels], 1e-38))
    return Scores(
        loss=float(losses.mean()),
        accuracy=float((chosen == labels).mean()),
        macro_f1=float(f1[counts > 0].mean()),
        f1=dict(zip(names, f1.tolist(), strict=True)),
        confusion=confusion,
    )
