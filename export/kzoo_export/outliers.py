"""Outlier channels of activations, and how much of them to move to the weights."""

from collections.abc import Sequence

import numpy as np

# An outlier is this many times larger than the median channel.
_TIMES_MEDIAN = 2.5
# Something is done about outliers only if they hold the range of the rest down to this share.
_WORTHWHILE = 0.6
# How much of an outlier is moved to the weights; the rest stays.
_STRENGTH = 0.8
# Small channels are not enlarged beyond this: unseen samples may have more in them.
_SMALLEST_FACTOR = 0.5


def outlying(magnitudes: np.ndarray, most: int | None = None) -> np.ndarray:
    """Pick the channels that are much larger than the others.

    Args:
        magnitudes: The largest magnitude of each channel.
        most: How many are picked at most; the largest.

    Returns:
        Their indices, none if the range of the rest would hardly be smaller.
    """
    order = np.argsort(-magnitudes, kind="stable")
    count = int((magnitudes > _TIMES_MEDIAN * np.median(magnitudes)).sum())
    count = min(count, len(order) if most is None else most)
    rest = magnitudes[order[count]] if count < len(order) else 0.0
    worthwhile = count > 0 and rest <= _WORTHWHILE * magnitudes[order[0]]
    return np.sort(order[: count if worthwhile else 0]).astype(np.int64)


def smoothing_factors(
    magnitudes: np.ndarray,
    matrices: Sequence[np.ndarray],
    strength: float = _STRENGTH,
    smallest: float = _SMALLEST_FACTOR,
) -> np.ndarray | None:
    """Choose what to divide channels by, and multiply the rows of their weights by instead.

    The product stays the same, while outliers and large weights share the loss of precision
    (Xiao et al., SmoothQuant, 2022, equation 4).

    Args:
        magnitudes: The largest magnitude of each channel, (K,).
        matrices: The weights (K, N) of all products that read the channels.
        strength: How much of an outlier is moved to the weights; the rest stays.
        smallest: The least factor: unseen samples may have more in small channels.

    Returns:
        One factor for each channel (K,), or `None` if there are no outliers.
    """
    if not len(outlying(magnitudes)):
        return None
    weights = np.max([np.abs(matrix).max(1) for matrix in matrices], axis=0)
    tiny = np.float32(1e-6)
    shares = [np.maximum(array, tiny * array.max() + tiny) for array in (magnitudes, weights)]
    factors = shares[0] ** strength / shares[1] ** (1.0 - strength)
    return np.maximum(factors / np.median(factors), smallest).astype(np.float32)
