"""Positions that are known before the model runs become constants of its graph."""

from typing import Any

import keras
import numpy as np

from kzoo.layers.types import Shape, Tensor


def as_positions(name: str, positions: Tensor) -> Tensor:
    """Return positions as a NumPy array if they are known, and as a tensor otherwise.

    Args:
        name: What the caller knows them by.
        positions: Integers (T,) or (B, T): a NumPy array or a range, whose values are known, or a
            tensor.

    Returns:
        The array or the tensor.
    """
    if isinstance(positions, range | list | tuple):
        positions = np.asarray(positions, "int32")
    check_rank(name, positions.shape)
    return positions


def check_rank(name: str, shape: Shape) -> None:
    """Require positions of shape (T,) or (B, T).

    Args:
        name: What the caller knows them by.
        shape: Their shape.

    Raises:
        ValueError: If they have another rank.
    """
    if len(shape) not in (1, 2):
        raise ValueError(
            f"`{name}` must have shape (T,) or (B, T). Received: {name}.shape={tuple(shape)}"
        )


def first_positions(length: Any) -> Tensor:
    """Return the positions 0 to `length` - 1.

    Args:
        length: An integer, or a scalar tensor where the length varies.

    Returns:
        (length,): a NumPy array if the length is known, a tensor otherwise.
    """
    if isinstance(length, int):
        return np.arange(length, dtype="int32")
    return keras.ops.arange(length, dtype="int32")


def executor(*arrays: Tensor) -> Any:
    """Return what computes with the arrays: NumPy if all are known, `keras.ops` otherwise.

    What NumPy computes, in float64, enters a graph as a constant.

    Args:
        *arrays: NumPy arrays, or tensors.

    Returns:
        The module `numpy` or `keras.ops`, in which the same names mean the same.
    """
    return np if all(isinstance(array, np.ndarray) for array in arrays) else keras.ops


def leave_heads(self: Any, heads: Tensor, positions: Tensor) -> Tensor:
    """Leave queries and keys as they are: the `rotate` of a position that only adds a bias.

    Args:
        self: The layer.
        heads: (B, T, N, H).
        positions: Integers (T,) or (B, T).

    Returns:
        The heads.
    """
    return heads
