"""Batches of texts of similar length."""

from collections.abc import Iterator

import numpy as np

_SHORTEST = 16


def batches_of_similar_length(
    lengths: np.ndarray, batch_size: int, longest: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Sort rows into batches, each padded to one of a few lengths: the powers of two from 16.

    Args:
        lengths: Number of tokens of each row.
        batch_size: Most rows in a batch.
        longest: The longest that a batch may be.

    Yields:
        The rows of a batch, and the length that holds them.
    """
    widths = np.array([max(_SHORTEST, power_of_two(int(length))) for length in lengths])
    widths = np.minimum(widths, longest)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(width)


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
