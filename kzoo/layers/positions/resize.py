"""Learned tables for another number of positions than they were trained for."""

import math
from typing import Any, TypeAlias

import keras
import numpy as np

from kzoo.arguments import check_choice, is_integer
from kzoo.layers.types import Tensor

Size: TypeAlias = int | tuple[int, int]


def resize_positions(
    table: Tensor,
    old_size: Size,
    new_size: Size,
    method: str = "linear",
    num_prefix: int = 0,
) -> Tensor:
    """Resize a table of learned positions by interpolation.

    Positions are cells, as pixels are: the first and the last cell of both tables cover the same
    ends, and what lies beyond an end is that end's cell. A cubic is Keys' with a = -0.75, as in
    PyTorch, so that tables come out as in the models of its users.

    Args:
        table: (num_prefix + P, D).
        old_size: P, or (height, width) with a product of P for patches that come row by row.
        new_size: The size to resize to, of the same kind.
        method: `linear` or `cubic`; on a grid that is bilinear and bicubic.
        num_prefix: Number of first rows, such as a class token's, that are kept as they are.

    Returns:
        The resized table, (num_prefix + P', D), in the dtype of the table.

    Raises:
        ValueError: If an argument is wrong or the table is not of the old size.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import resize_positions
        >>> table = np.array([[9.0], [0.0], [4.0]], "float32")
        >>> np.asarray(resize_positions(table, 2, 4, num_prefix=1))[:, 0].tolist()
        [9.0, 0.0, 1.0, 3.0, 4.0]

    References:
        Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, section 3.2.
        https://arxiv.org/abs/2010.11929
        Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981, equation 15.
    """
    check_choice(METHODS, method=method)
    old, new = _axes("old_size", old_size), _axes("new_size", new_size)
    if len(old) != len(new):
        raise ValueError(
            "`old_size` and `new_size` must have as many axes. "
            f"Received: old_size={old_size}, new_size={new_size}"
        )
    if not is_integer(num_prefix, least=0):
        raise ValueError(
            f"`num_prefix` must be a non-negative integer. Received: num_prefix={num_prefix!r}"
        )
    if len(table.shape) != 2 or table.shape[0] != num_prefix + math.prod(old):
        raise ValueError(
            "`table` must have shape (`num_prefix` + the product of `old_size`, D). Received: "
            f"table.shape={tuple(table.shape)}, old_size={old_size}, num_prefix={num_prefix}"
        )
    dtype = keras.backend.standardize_dtype(table.dtype)
    rows = keras.ops.cast(table, keras.backend.result_type(dtype, "float32"))
    grid = keras.ops.reshape(rows[num_prefix:], (*old, rows.shape[1]))
    for axis, (before, after) in enumerate(zip(old, new, strict=True)):
        matrix = keras.ops.cast(interpolation(before, after, method), rows.dtype)
        grid = keras.ops.moveaxis(keras.ops.tensordot(matrix, grid, ((1,), (axis,))), 0, axis)
    cells = keras.ops.reshape(grid, (-1, rows.shape[1]))
    return keras.ops.cast(keras.ops.concatenate([rows[:num_prefix], cells]), dtype)


def interpolation(before: int, after: int, method: str) -> np.ndarray[Any, Any]:
    """Return the matrix that resizes one axis.

    Args:
        before: Number of cells.
        after: Number of cells to resize to.
        method: A key of `METHODS`.

    Returns:
        (after, before), float64; its rows sum to 1.
    """
    weight, reach = METHODS[method]
    centres = (np.arange(after) + 0.5) * before / after - 0.5
    matrix = np.zeros((after, before))
    for offset in range(1 - reach, reach + 1):
        cells = np.floor(centres) + offset
        columns = np.clip(cells, 0, before - 1).astype(int)
        np.add.at(matrix, (np.arange(after), columns), weight(np.abs(centres - cells)))
    return matrix


def _linear(distance: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Weigh a cell by its distance, at most 1."""
    return 1 - distance


def _cubic(distance: np.ndarray[Any, Any], a: float = -0.75) -> np.ndarray[Any, Any]:
    """Weigh a cell by its distance, at most 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)


def _axes(name: str, size: Size) -> tuple[int, ...]:
    """Return a size as a tuple of one or two positive integers."""
    axes = tuple(size) if isinstance(size, list | tuple) else (size,)
    if len(axes) not in (1, 2):
        raise ValueError(f"`{name}` must be P or (height, width). Received: {name}={size}")
    if not all(is_integer(axis, least=1) for axis in axes):
        raise ValueError(f"`{name}` must be of positive integers. Received: {name}={size}")
    return tuple(map(int, axes))


# The weight of a cell by its distance, and how many cells on each side have one.
METHODS = {"linear": (_linear, 1), "cubic": (_cubic, 2)}
