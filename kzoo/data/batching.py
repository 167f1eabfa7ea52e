"""Batches of texts of similar length."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Widths(NamedTuple):
    """The widths that batches are padded to: `per_octave` between each power of two and the next.

    A batch is at least `shortest` wide.
    """

    per_octave: int
    shortest: int

    def padded(self, length: int) -> int:
        """Choose the width of a batch.

        Args:
            length: Number of tokens of its longest row.

        Returns:
            The width.
        """
        step = max(1, power_of_two(length) // 2 // self.per_octave)
        return max(self.shortest, -(-length // step) * step)


# Where a program is compiled for each width, few; else as good as all.
COMPILED, EAGER = Widths(4, 16), Widths(16, 1)


def batches_of_similar_length(
    lengths: np.ndarray, batch_size: int, longest: int, widths: Widths
) -> Iterator[tuple[np.ndarray, int]]:
    """Sort rows into batches.

    Args:
        lengths: Number of tokens of each row.
        batch_size: Most rows in a batch.
        longest: The longest that a batch may be.
        widths: The widths there are.

    Yields:
        The rows of a batch, and the width that holds them.
    """
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield rows, min(widths.padded(int(lengths[rows[-1]])), longest)


def real_widths(mask: np.ndarray) -> np.ndarray:
    """Count the columns of each row up to its last token: all of them where padding is in front.

    Args:
        mask: Padding mask (N, T).

    Returns:
        The counts (N,); T for rows without a token.
    """
    return np.asarray(mask.shape[1] - (mask[:, ::-1] != 0).argmax(axis=1))


def power_of_two(count: int) -> int:
    """Round up to a power of two.

    Args:
        count: A positive number.

    Returns:
        The least power of two that is not below it.
    """
    return 1 << (count - 1).bit_length()
