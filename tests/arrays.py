"""Arrays of tests: their types, and how results are compared."""

from typing import Any

import keras
import numpy as np

Array = np.ndarray[Any, Any]
Inputs = dict[str, Array]


def to_numpy(tensor: Any) -> Array:
    """Return a tensor of any backend, trainable or not, as a NumPy array."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(tensor)))


def assert_close(actual: Any, expected: Array, tolerance: float) -> None:
    """Compare shapes, then values: the largest error against the largest expected value."""
    assert tuple(actual.shape) == expected.shape
    error = np.abs(to_numpy(keras.ops.cast(actual, "float32")) - expected).max()
    limit = tolerance * max(1.0, np.abs(expected).max())
    assert error <= limit, f"largest error {error:.3g}, at most {limit:.3g} allowed"
