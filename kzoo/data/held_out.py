"""Batches of held-out records, and what a model must be better than on them."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import check_positive_integers
from kzoo.data.dataset import Batch, pretraining_dataset
from kzoo.data.manifest import read_manifest


def held_out_batches(
    folder: str | os.PathLike[str], batch_size: int, number: int, **arguments: Any
) -> list[Batch]:
    """Read batches of the documents that nothing is trained on: the same each time.

    Args:
        folder: What `prepare` wrote.
        batch_size: Records in a batch; fewer where fewer are held out.
        number: Batches, at most.
        **arguments: Other arguments of `pretraining_dataset`.

    Returns:
        The batches, none where nothing is held out.

    Raises:
        ValueError: If an argument is out of its range, or the folder is not whole.
    """
    check_positive_integers(batch_size=batch_size, number=number)
    records = read_manifest(Path(folder))["totals"]["held_out"]["records"]
    if not records:
        return []
    size = min(batch_size, records)
    dataset = pretraining_dataset(folder, size, split="held_out", epochs=1, **arguments)
    return list(itertools.islice(dataset, number))


def unigram_accuracy(batches: Iterable[Batch]) -> float:
    """Say how often it is right to guess the commonest hidden token always.

    Args:
        batches: Batches of `pretraining_dataset`, at least one.

    Returns:
        The accuracy, in [0, 1].
    """
    masked = [labels["masked"][weights["masked"] > 0] for _, labels, weights in batches]
    counts = np.bincount(np.concatenate(masked))
    return float(counts.max() / counts.sum())
