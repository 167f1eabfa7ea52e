"""The forms of a model that are exported: functional, and in float32."""

import inspect
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

_OTHERS = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")
_CONFIG = "config.json"


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


def in_float32(model: keras.Model) -> tuple[keras.Model, str | None]:
    """Give a model that computes in float32, with the same weights.

    Files are float32 before any recipe: the runtimes of phones compute in nothing that the
    reduced precision of training would match, and converters take no float64.

    Args:
        model: The model.

    Returns:
        The model itself and `None`, or its float32 form and the policy it computes in.
    """
    found: set[str] = set()
    _replaced(keras.saving.serialize_keras_object(model), found)
    if not found:
        return model, None
    # A mixed policy also leaves the dtype of its tensors in the configuration.
    policies = sorted(name for name in found if "mixed" in name) or sorted(found)
    with tempfile.TemporaryDirectory(prefix="kzoo-", ignore_cleanup_errors=True) as folder:
        trained, patched = Path(folder, "trained.keras"), Path(folder, "float32.keras")
        model.save(trained)
        _patch(trained, patched)
        return keras.saving.load_model(patched, compile=False), ", ".join(policies)


def _patch(source: Path, target: Path) -> None:
    """Copy a saved model, its configuration changed to float32."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == _CONFIG:
                content = json.dumps(_replaced(json.loads(content), set())).encode()
            new.writestr(entry.filename, content)


def _replaced(value: Any, found: set[str], key: str = "") -> Any:
    """Replace every other policy in a configuration, and note which there were."""
    if isinstance(value, dict):
        is_policy = value.get("class_name") == "DTypePolicy"
        inner = {
            name: _replaced(item, found, "dtype" if is_policy and name == "config" else name)
            for name, item in value.items()
        }
        if key == "dtype" and value.get("name") in _OTHERS:
            found.add(value["name"])
            inner["name"] = "float32"
        return inner
    if isinstance(value, (list, tuple)):
        return [_replaced(item, found) for item in value]
    if key == "dtype" and value in _OTHERS:
        found.add(value)
        return "float32"
    return value
