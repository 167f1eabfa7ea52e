"""Samples: arrays by input name, cut in batches and in parts."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Samples:
    """Arrays by input name, equally many rows each, and a description of where they come from.

    `given` tells those of the user from those that were made for want of any.
    """

    arrays: Mapping[str, np.ndarray]
    source: str
    given: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def rows(self, indices: np.ndarray, source: str) -> "Samples":
        """Select rows.

        Args:
            indices: Which ones.
            source: Description of the selection.

        Returns:
            The selected rows.
        """
        arrays = {name: array[indices] for name, array in self.arrays.items()}
        return Samples(arrays, source, self.given)


def split(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """Cut samples in two halves that share no row.

    Args:
        samples: At least two rows.
        seed: Decides which rows go where.

    Returns:
        The half that verifies and the half that calibrates.

    Raises:
        ValueError: If there is only one row.
    """
    if len(samples) < 2:
        raise ValueError(
            "`samples` must have at least two rows for a recipe that calibrates, or `calibration` "
            f"must be given as well. Received: {len(samples)} row"
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    half = len(samples) // 2
    parts = np.sort(order[half:]), np.sort(order[:half])
    label = f"of {samples.source}, split with seed {seed}"
    verifying, calibrating = (samples.rows(part, f"{len(part)} {label}") for part in parts)
    return verifying, calibrating


def batches(arrays: Mapping[str, np.ndarray], batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Cut rows into batches of one size; the last one is filled up by repeating its last row.

    Args:
        arrays: Arrays by name, equally many rows each.
        batch_size: Rows of every batch.

    Yields:
        One batch after the other.
    """
    num_rows = len(next(iter(arrays.values())))
    for start in range(0, num_rows, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), num_rows - 1)
        yield {name: array[rows] for name, array in arrays.items()}
