"""Batches of texts of similar length."""

from collections.abc import Iterator, Mapping
from typing import Any

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
    widths = np.minimum([padded_width(int(length)) for length in lengths], longest)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(width)


def predict_rows(
    model: Any, output: str, inputs: Mapping[str, np.ndarray], batch_size: int
) -> np.ndarray:
    """Compute an output of a model, in batches of few shapes.

    Args:
        model: The model.
        output: The name of its output.
        inputs: Arrays by name, (N, T), N at least 1.
        batch_size: Most rows in a batch.

    Returns:
        float32 (N, ...), in the order of the rows.
    """
    mask = inputs["padding_mask"]
    found = np.zeros((len(mask), model.output[output].shape[-1]), "float32")
    for rows, width in batches_of_similar_length(real_widths(mask), batch_size, mask.shape[1]):
        padded = np.resize(rows, min(power_of_two(len(rows)), batch_size))
        batch = {name: array[padded, :width] for name, array in inputs.items()}
        found[rows] = model.predict_on_batch(batch)[output][: len(rows)]
    return found


def padded_width(length: int) -> int:
    """Choose the width of a batch, of few: a power of two, from 16.

    Args:
        length: Number of tokens of its longest row.

    Returns:
        The width.
    """
    return max(_SHORTEST, power_of_two(length))


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
