"""The variables of a model, as the tables of weights name them."""

import keras
import numpy as np


def variables_by_path(model: keras.Model) -> dict[str, keras.Variable]:
    """List the weights of a model.

    Args:
        model: Any model.

    Returns:
        Variable by path.
    """
    return {variable.path: variable for variable in model.weights}


def arrays_by_path(model: keras.Model) -> dict[str, np.ndarray]:
    """Copy the weights of a model.

    Args:
        model: Any model.

    Returns:
        float32 arrays by path.
    """
    return {
        path: np.asarray(keras.ops.convert_to_numpy(variable.value), "float32")
        for path, variable in variables_by_path(model).items()
    }
