"""Round weights to 4 bits so that what a layer computes stays close, not each number for itself."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Share of the mean of the diagonal that is added to it: samples say nothing of some directions.
_DAMPING = 0.1
# Columns whose errors are passed on together.
_COLUMNS = 128
# Scales that are tried, as shares of the one that holds the largest number of a block.
_SHARES = np.linspace(0.55, 1.0, 19)
_LEAST, _LARGEST = -8, 7


class Moments(NamedTuple):
    """What is known of the inputs x (K,) of a layer: sums of `x^T x` and of `x`, and how many."""

    products: np.ndarray
    sums: np.ndarray
    rows: int

    @property
    def mean(self) -> np.ndarray:
        """The mean of the inputs, (K,)."""
        return self.sums / max(self.rows, 1)


def moments_of(tensor: np.ndarray, mask: np.ndarray | None = None) -> Moments:
    """Add up what is known of the rows of a tensor.

    Args:
        tensor: Inputs of a layer, (.., K).
        mask: A padding mask (B, T): of a tensor with a row for each token, only real positions
            count.

    Returns:
        The moments of the rows.
    """
    rows = tensor.reshape(-1, tensor.shape[-1])
    if mask is not None and mask.size == len(rows):
        rows = rows[mask.reshape(-1) != 0]
    return Moments(rows.T @ rows, rows.sum(axis=0), len(rows))


def merge(parts: Iterable[Moments]) -> Moments:
    """Add up what is known of several sets of inputs.

    Args:
        parts: The moments of each.

    Returns:
        The moments of all.
    """
    products, sums, rows = zip(*parts, strict=True)
    add = functools.partial(functools.reduce, np.add)
    return Moments(add(products), add(sums), sum(rows))


class Rounded(NamedTuple):
    """Integers (N, K) in int8, and the scales (N, K / block) of their blocks."""

    elements: np.ndarray
    scales: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The numbers they stand for, (N, K)."""
        block = self.elements.shape[1] // self.scales.shape[1]
        return np.asarray(self.elements * np.repeat(self.scales, block, axis=1))


def round_for_inputs(matrix: np.ndarray, moments: Moments, block: int, biased: bool) -> Rounded:
    """Round a matrix column by column, the error of each spread over those that follow.

    It minimizes the error of `x w^T` over the inputs of which the moments are known (Frantar et
    al., 2022, GPTQ, algorithm 1), the columns with the largest inputs first. Where there is a bias,
    it takes up the mean of the error, and what counts are deviations of inputs from their mean.

    Args:
        matrix: Weights (N, K), one row for each unit.
        moments: The moments of the inputs.
        block: Neighbors of a row that share a scale; K is a multiple of it.
        biased: Whether the bias will have `mean_error` added.

    Returns:
        The integers from -8 to 7 and their scales, which bfloat16 holds.
    """
    hessian = moments.products.astype(np.float64)
    if biased:
        hessian -= np.outer(moments.sums, moments.mean)
    diagonal = np.maximum(np.diagonal(hessian), 0.0)
    added = np.where(diagonal > 0, 0.0, 1.0) + max(_DAMPING * diagonal.mean(), 1e-12)
    hessian[np.diag_indices_from(hessian)] = diagonal + added
    scales = _choose_scales(matrix, diagonal + added, block)
    order = np.argsort(-diagonal, kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T.astype(np.float32)
    left = matrix[:, order].astype(np.float32)
    column_scales = np.repeat(scales, block, axis=1)[:, order]
    elements = np.zeros(matrix.shape, np.int8)
    for start in range(0, len(order), _COLUMNS):
        stop = min(start + _COLUMNS, len(order))
        errors = np.zeros((len(matrix), stop - start), np.float32)
        for column in range(start, stop):
            scale = column_scales[:, column]
            rounded = _round(left[:, column] / scale)
            elements[:, order[column]] = rounded
            error = (left[:, column] - rounded * scale) / upper[column, column]
            left[:, column:stop] -= error[:, None] * upper[column, column:stop]
            errors[:, column - start] = error
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    return Rounded(elements, scales)


def mean_error(matrix: np.ndarray, rounded: Rounded, moments: Moments) -> np.ndarray:
    """Compute what rounding takes from each unit in the mean over inputs, (N,)."""
    return np.asarray((matrix - rounded.values) @ moments.mean)


class Choice(NamedTuple):
    """A weight in 4 bits, and the bias of its layer with what rounding takes in the mean."""

    rounded: Rounded
    bias: tuple[str, np.ndarray] | None = None

    def numbers(self, name: str) -> dict[str, np.ndarray]:
        """Give the float numbers that it stands for, of the weight (N, K) and of the bias."""
        return dict([(name, self.rounded.values), *([self.bias] if self.bias else [])])


def round_layer(
    matrix: np.ndarray, moments: Moments, block: int, bias: tuple[str, np.ndarray] | None
) -> Choice:
    """Round the weight of a dense layer for its inputs.

    Args:
        matrix: Weights (N, K), one row for each unit.
        moments: The moments of the inputs.
        block: Neighbors of a row that share a scale; K is a multiple of it.
        bias: The name and the numbers (N,) of a bias that no other layer has.

    Returns:
        What is stored.
    """
    rounded = round_for_inputs(matrix, moments, block, biased=bias is not None)
    if bias is None:
        return Choice(rounded)
    name, numbers = bias
    return Choice(rounded, (name, numbers + mean_error(matrix, rounded, moments)))


def round_to_nearest(matrix: np.ndarray, block: int) -> Rounded:
    """Round each number of a matrix to the nearest, with the best scale of each block.

    Args:
        matrix: Numbers (N, K).
        block: Neighbors of a row that share a scale; K is a multiple of it.

    Returns:
        The integers from -8 to 7 and their scales, which bfloat16 holds.
    """
    scales = _choose_scales(matrix, np.ones(matrix.shape[1]), block)
    elements = _round(matrix.reshape(*scales.shape, block) / scales[..., None])
    return Rounded(elements.astype(np.int8).reshape(matrix.shape), scales)


def _round(numbers: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(numbers), _LEAST, _LARGEST)


def _choose_scales(matrix: np.ndarray, weights: np.ndarray, block: int) -> np.ndarray:
    """Choose the scale of each block that loses least, columns with large weights counting more."""
    blocks = matrix.reshape(len(matrix), -1, block)
    weighting = weights.reshape(-1, block).astype(np.float32)
    largest = np.maximum(np.abs(blocks).max(axis=-1), 1e-30)
    best = np.full(largest.shape, np.inf)
    chosen = np.zeros_like(largest)
    for share in _SHARES:
        scale = _as_bfloat16(share * largest / _LARGEST)
        errors = blocks - _round(blocks / scale[..., None]) * scale[..., None]
        loss = (weighting * errors**2).sum(axis=-1)
        better = loss < best
        best, chosen = np.where(better, loss, best), np.where(better, scale, chosen)
    return chosen


def _as_bfloat16(array: np.ndarray) -> np.ndarray:
    """Round to the 8 significant bits that kernels keep of scales; float16 holds them as well."""
    bits = np.maximum(array, np.finfo(np.float16).tiny).astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)
