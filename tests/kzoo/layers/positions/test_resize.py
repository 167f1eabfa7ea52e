"""Resized tables at their edges; test_against.py compares them with PyTorch's."""

import keras
import numpy as np
import pytest

from kzoo.layers import resize_positions
from kzoo.layers.positions.resize import interpolation
from tests.arrays import to_numpy

TABLE = np.random.default_rng(0).normal(size=(1 + 12, 4)).astype("float32")


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_same_size_changes_nothing(method):
    np.testing.assert_array_equal(resize_positions(TABLE[1:], 12, 12, method), TABLE[1:])
    same = resize_positions(TABLE, (3, 4), (3, 4), method, num_prefix=1)
    np.testing.assert_array_equal(to_numpy(same), TABLE)


@pytest.mark.once
@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_what_interpolation_keeps(method):
    for before, after in [(5, 9), (9, 5), (1, 3), (3, 1)]:
        matrix = interpolation(before, after, method)
        np.testing.assert_allclose(matrix.sum(1), 1)  # constants
        np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)  # symmetry
    # Straight lines, away from the ends.
    line = interpolation(9, 18, method) @ np.arange(9)
    steps = np.diff(line)[4:-4]
    np.testing.assert_allclose(steps, 0.5, atol=0.1 if method == "cubic" else 1e-12)


def test_first_rows_and_dtype_are_kept():
    table = keras.ops.cast(TABLE, "bfloat16")
    resized = resize_positions(table, (3, 4), (2, 2), "cubic", num_prefix=1)
    assert keras.backend.standardize_dtype(resized.dtype) == "bfloat16"
    assert tuple(resized.shape) == (5, 4)
    first, kept = (to_numpy(keras.ops.cast(x[0], "float32")) for x in (table, resized))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "area"}, r"`method` must be one of 'linear', 'cubic'. Received: method='area'"),
        ({"old_size": 13}, r"`table` must have shape .*\(13, 4\), old_size=13, num_prefix=1"),
        ({"old_size": (2, 5)}, r"as many axes. Received: old_size=\(2, 5\), new_size=6"),
        ({"old_size": (2, 5), "new_size": (3, 3)}, r"`table` must have shape .*old_size=\(2, 5\)"),
        ({"new_size": 0}, r"`new_size` must be of positive integers. Received: new_size=0"),
        ({"new_size": 2.5}, r"`new_size` must be of positive integers. Received: new_size=2.5"),
        ({"new_size": (1, 2, 3)}, r"`new_size` must be P or \(height, width\)"),
        ({"num_prefix": -1}, r"`num_prefix` must be a non-negative integer. .*=-1"),
        ({"table": TABLE[0]}, r"`table` must have shape .*table.shape=\(4,\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    right = {"table": TABLE, "old_size": 12, "new_size": 6, "num_prefix": 1}
    with pytest.raises(ValueError, match=message):
        resize_positions(**{**right, **arguments})


@pytest.mark.once
def test_table_resized_the_other_way_is_noticed():
    """The comparison with PyTorch's tells rows from columns."""
    straight = to_numpy(resize_positions(TABLE[1:], (3, 4), (6, 4)))
    turned = TABLE[1:].reshape(3, 4, -1).swapaxes(0, 1).reshape(12, -1)
    assert np.abs(to_numpy(resize_positions(turned, (4, 3), (4, 6))) - straight).max() > 0.1
