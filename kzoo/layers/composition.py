"""Layers that are made of other layers: the parts are values, and travel in the whole's config."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from kzoo.layers.types import Shape


def check_layers(owner: keras.layers.Layer, **parts: Any) -> None:
    """Require every part to be a Keras layer without weights and with its owner's dtype policy.

    Args:
        owner: The layer they become part of.
        **parts: The parts, by the name the user knows them by.

    Raises:
        ValueError: If a part is no layer, has another dtype policy, or has weights already.
    """
    for name, part in parts.items():
        if not isinstance(part, keras.layers.Layer):
            raise ValueError(f"`{name}` must be a Keras layer. Received: {name}={part!r}")
        if part.dtype_policy != owner.dtype_policy:
            raise ValueError(
                f"`{name}` must have the dtype policy of the layer it is part of, "
                f"{owner.dtype_policy.name!r}. Received: {name}.dtype={part.dtype_policy.name!r}"
            )
        _check_new(name, part)


def build_part(name: str, part: keras.layers.Layer, *shapes: Shape) -> None:
    """Create the weights of a part that has none yet.

    Args:
        name: The name the user knows the part by.
        part: The part.
        *shapes: Shapes of its call arguments.
    """
    _check_new(name, part)
    if not part.built:
        part.build(*shapes)


def composed_config(layer: keras.layers.Layer, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a layer that stores each constructor argument under its own name.

    Whether a part is built is not part of the config: the config is the same before and after.

    Args:
        layer: The layer.
        base: What Keras itself puts in a config: `super().get_config()`.

    Returns:
        The base and the arguments, with layers in the form Keras writes them in.
    """
    signature = inspect.signature(type(layer).__init__).parameters.values()
    names = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    return {**base, **{name: _serialize(getattr(layer, name)) for name in names}}


def composed_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments that `composed_config` wrote.

    Parts take the dtype policy of the whole, so that a config with another `dtype` is consistent.

    Args:
        config: The config of the whole.

    Returns:
        The arguments, with new layers for the parts.
    """
    dtype = {"dtype": config["dtype"]} if "dtype" in config else {}
    return {
        name: _deserialize(value, dtype) if name != "dtype" else value
        for name, value in config.items()
    }


def _check_new(name: str, part: keras.layers.Layer) -> None:
    """Require a layer without weights: two owners of the same weights could not be saved."""
    if part.built and part.weights:
        raise ValueError(
            f"`{name}` must be a new layer: make one for each layer that has it as a part. "
            f"Received: {name}={part.name!r}, which is built already"
        )


def _serialize(value: Any) -> Any:
    if not isinstance(value, keras.layers.Layer):
        return value
    serialized = keras.saving.serialize_keras_object(value)
    return {key: item for key, item in serialized.items() if key != "build_config"}


def _deserialize(value: Any, dtype: dict[str, Any]) -> Any:
    if not (isinstance(value, dict) and "class_name" in value):
        return value
    config = {**value, "config": {**value["config"], **dtype}}
    return keras.saving.deserialize_keras_object(config)
