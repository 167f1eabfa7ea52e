"""Layers that are made of other layers: the parts are values, checked before they are used."""

import inspect
from collections.abc import Iterable
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


def check_calls(**parts: keras.layers.Layer) -> None:
    """Require parts that can be called with one tensor and nothing else.

    Args:
        **parts: The parts, by the name the user knows them by.

    Raises:
        ValueError: If a part asks for more.
    """
    for name, part in parts.items():
        signature = inspect.signature(part.call)
        try:
            signature.bind(None)
        except TypeError as error:
            raise ValueError(
                f"`{name}` must be a layer that can be called with one tensor and nothing else; "
                f"for {type(part).__name__} that is an error: {error}. "
                f"Received: {name}={part.name!r}, with call{signature}"
            ) from error


def check_options(name: str, part: keras.layers.Layer, options: Iterable[str]) -> None:
    """Require a part to take the options that it is going to be called with.

    Args:
        name: The name the user knows the part by.
        part: The part.
        options: Names of call arguments.

    Raises:
        ValueError: If the part does not take one of them.
    """
    taken = {**inspect.signature(part.call).parameters, **inspect.signature(part).parameters}
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(part.call).parameters.values()):
        return
    for option in options:
        if option not in taken:
            raise ValueError(
                f"`{option}` must be None: `{name}` does not take it. Received: {name}="
                f"{part.name!r} of type {type(part).__name__}, with call({', '.join(taken)})"
            )


def check_methods(names: Iterable[str], **parts: keras.layers.Layer) -> None:
    """Require parts to have methods.

    Args:
        names: Names of the methods.
        **parts: The parts, by the name the user knows them by.

    Raises:
        ValueError: If one is missing.
    """
    for name, part in parts.items():
        missing = [method for method in names if not callable(getattr(part, method, None))]
        if missing:
            raise ValueError(
                f"`{name}` must have the methods {', '.join(names)}. Received: {name}="
                f"{part.name!r} of type {type(part).__name__}, without {', '.join(missing)}"
            )


def build_part(name: str, part: keras.layers.Layer, *shapes: Shape) -> None:
    """Create the weights of a part that has none yet.

    Args:
        name: The name the user knows the part by.
        part: The part.
        *shapes: Shapes of its first call arguments.
    """
    _check_new(name, part)
    if part.built:
        return
    if type(part).build is keras.layers.Layer.build:
        # A layer without a `build` of its own creates the weights inside it when it is called.
        part(*(keras.KerasTensor(shape, dtype=part.compute_dtype) for shape in shapes))
    else:
        part.build(*shapes)


def _check_new(name: str, part: keras.layers.Layer) -> None:
    """Require a layer without weights: two owners of the same weights could not be saved."""
    if part.built and part.weights:
        raise ValueError(
            f"`{name}` must be a new layer: make one for each layer that has it as a part. "
            f"Received: {name}={part.name!r}, which is built already"
        )
