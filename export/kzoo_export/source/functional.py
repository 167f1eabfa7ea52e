"""The functional form of a model that was written as a class."""

import inspect
import tempfile
from pathlib import Path
from typing import Any

import keras


def as_functional(model: keras.Model) -> keras.Model:
    """Give a model whose inputs and outputs are known.

    A subclassed model that was built takes the shapes it was built with, all but the batch; its
    inputs are floats. It is copied first, so that the user's own is left as it is.

    Args:
        model: The model.

    Returns:
        The model itself if it is functional or sequential, else a functional model around a copy.

    Raises:
        ValueError: If the shapes of its inputs are not known.
    """
    if getattr(model, "inputs", None):
        return model
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shape is None:
        raise ValueError(
            "`model` must have known inputs. Received: "
            f"model={model.name!r}, a {type(model).__name__}. Call it once on an array, or on a "
            "dictionary or list of arrays, or make it functional: "
            "keras.Model(inputs, model(inputs)) with a keras.Input for each of its inputs"
        )
    argument = _argument(model)
    with tempfile.TemporaryDirectory(prefix="kzoo-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        copy = keras.saving.load_model(path, compile=False)
    inputs = _inputs(shape, model.input_dtype, argument)
    outputs = copy(inputs)
    if not isinstance(outputs, dict):
        # A dictionary's keys stay; the name of a layer may change whenever it is loaded.
        leaves = keras.tree.flatten(outputs)
        names = [model.name] + [f"{model.name}_{number}" for number in range(1, len(leaves))]
        outputs = dict(zip(names, leaves, strict=True))
    return keras.Model(inputs, outputs, name=model.name)


def _argument(model: keras.Model) -> str:
    """Name the argument that a model is called with; a second one would have no known shape."""
    parameters = inspect.signature(model.call).parameters.values()
    required = [
        p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if len(required) > 1:
        raise ValueError(
            f"`model` must be called with one argument, such as a dictionary of inputs. Received: "
            f"model={model.name!r}, called with {', '.join(required)}. Make it functional: "
            "keras.Model(inputs, model(*inputs)) with a keras.Input for each of its inputs"
        )
    return required[0] if required else "inputs"


def _inputs(shape: Any, dtype: str, name: str) -> Any:
    """Make an input for each shape of a structure, called by its key in a dictionary."""
    if isinstance(shape, dict):
        return {key: _inputs(inner, dtype, str(key)) for key, inner in shape.items()}
    if shape and isinstance(shape[0], list | tuple | dict):
        return [_inputs(inner, dtype, f"{name}_{index}") for index, inner in enumerate(shape)]
    return keras.Input(shape[1:], dtype=dtype, name=name)
