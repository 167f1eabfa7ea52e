"""Arrays of tests: their types, and how results are compared."""

from typing import Any

import keras
import numpy as np

Array = np.ndarray[Any, Any]
Inputs = dict[str, Array]


def graph_inputs(arrays: Inputs) -> dict[str, keras.KerasTensor]:
    """Return the symbolic input of a model for each array, of the same shape and dtype."""
    return {
        name: keras.Input(batch_shape=array.shape, dtype=str(array.dtype), name=name)
        for name, array in arrays.items()
    }


def to_numpy(tensor: Any) -> Array:
    """Return a tensor of any backend, trainable or not, as a NumPy array."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(tensor)))


def assert_close(actual: Any, expected: Array, tolerance: float) -> None:
    """Compare shapes, then values: the largest error against the largest expected value."""
    assert tuple(actual.shape) == expected.shape
    error = np.abs(to_numpy(keras.ops.cast(actual, "float32")) - expected).max()
    limit = tolerance * max(1.0, np.abs(expected).max())
    assert error <= limit, f"largest error {error:.3g}, at most {limit:.3g} allowed"
