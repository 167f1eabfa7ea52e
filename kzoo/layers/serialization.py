"""How layers travel: their registration with Keras, and configs that follow from constructors."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np

L = TypeVar("L", bound=type[keras.layers.Layer])


def serializable(cls: L) -> L:
    """Register a layer with Keras, and make `get_config` and `from_config` of its constructor.

    For a layer that stores every constructor argument under its own name. The config has the
    arguments as Python values, parts (layers as arguments) as Keras serializes them, and is the
    same before and after the layer is built. NumPy scalars among the arguments are numbers.

    A subclass adds its own arguments as in Keras: it overrides `get_config`, or stores them under
    their own names.

    Args:
        cls: The class of the layer.

    Returns:
        The class.
    """
    owner: type[keras.layers.Layer] = cls

    def get_config(self: keras.layers.Layer) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base: dict[str, Any] = super(owner, self).get_config()
        names = [name for name in _arguments(type(self), cls) if name not in base]
        missing = [name for name in names if not hasattr(self, name)]
        if missing and type(self).get_config is get_config:
            raise NotImplementedError(
                f"{type(self).__name__} must store the argument `{missing[0]}` under that name, or "
                "override `get_config`."
            )
        given = {name: getattr(self, name) for name in names if name not in missing}
        return {**base, **{name: _serialize(value) for name, value in given.items()}}

    def from_config(cls: type[keras.layers.Layer], config: Mapping[str, Any]) -> keras.layers.Layer:
        """Make the layer that a config describes, with new parts."""
        # Parts take the dtype policy of the whole: a config with another `dtype` stays consistent.
        dtype = {"dtype": config["dtype"]} if "dtype" in config else {}
        arguments = {
            name: value if name == "dtype" else _deserialize(value, dtype)
            for name, value in config.items()
        }
        return cls(**arguments)

    cls.__init__ = _with_python_values(cls.__init__)
    cls.get_config = get_config
    cls.from_config = classmethod(from_config)
    return keras.saving.register_keras_serializable("kzoo")(cls)


def _with_python_values(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor see Python's numbers where it is given NumPy's."""

    @functools.wraps(init)
    def __init__(self: keras.layers.Layer, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        init(self, *_python(args), **_python(kwargs))

    # Keras reads the signature in two ways, of which one does not look behind a wrapper.
    vars(__init__)["__signature__"] = inspect.signature(init)
    return __init__


def _python(value: Any) -> Any:
    """Return a NumPy scalar as a Python value, and what holds some with Python values in it."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_python, value))
    if type(value) is dict:
        return {key: _python(item) for key, item in value.items()}
    return value


def _arguments(cls: type, last: type) -> dict[str, None]:
    """Return the names of the constructor's arguments, of a class and its bases up to the last."""
    bases = cls.__mro__[: cls.__mro__.index(last) + 1]
    parameters = [p for base in bases for p in inspect.signature(base).parameters.values()]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return dict.fromkeys(name for name in named if name != "self")


def _serialize(value: Any) -> Any:
    """Return a part in the form Keras writes it in, without what it was built for."""
    if not isinstance(value, keras.layers.Layer):
        return value
    serialized = keras.saving.serialize_keras_object(value)
    return {key: item for key, item in serialized.items() if key != "build_config"}


def _deserialize(value: Any, dtype: dict[str, Any]) -> Any:
    """Return a new part, if it is one."""
    if not (isinstance(value, dict) and "class_name" in value):
        return value
    config = {**value, "config": {**value["config"], **dtype}}
    return keras.saving.deserialize_keras_object(config)
