"""Hand a prepared model to another process, through a folder: the model and the user's own classes.

The folder holds `model.keras`, `source.json` with the backend it is used on and the places of the
user's classes and, where some classes cannot be imported, `classes.pickle` with their code.
"""

import dataclasses
import importlib
import importlib.machinery
import json
import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kzoo.arguments import require_packages

_MODEL = "model.keras"
_SOURCE = "source.json"
_CLASSES = "classes.pickle"


@dataclasses.dataclass(frozen=True)
class CustomObjects:
    """Objects to import by (registered name, module, name in it), and pickled ones for the rest."""

    imported: tuple[tuple[str, str, str], ...]
    pickled: bytes | None


def save(model: keras.Model, custom_objects: CustomObjects, folder: Path) -> None:
    """Write a model and what it takes to load it.

    Args:
        model: The prepared model.
        custom_objects: What `collect` found in it.
        folder: An existing folder.
    """
    model.save(folder / _MODEL)
    facts = {"backend": keras.backend.backend(), "imported": custom_objects.imported}
    (folder / _SOURCE).write_text(json.dumps(facts))
    if custom_objects.pickled is not None:
        (folder / _CLASSES).write_bytes(custom_objects.pickled)


def load(folder: Path) -> tuple[keras.Model, str]:
    """Load the model in safe mode, the user's classes first.

    Args:
        folder: What `save` wrote, a moment ago and on this machine: its pickled classes are run.

    Returns:
        The model, under the backend of this process, and the backend that it is used on.
    """
    facts = json.loads((folder / _SOURCE).read_text())
    for registered_name, module, name in facts["imported"]:
        value = operator.attrgetter(name)(importlib.import_module(module))
        _register(registered_name, value)
    if (folder / _CLASSES).is_file():
        import cloudpickle

        for registered_name, value in cloudpickle.loads((folder / _CLASSES).read_bytes()):
            _register(registered_name, value)
    model = keras.saving.load_model(folder / _MODEL, compile=False, safe_mode=True)
    return model, facts["backend"]


def _register(registered_name: str, value: Any) -> None:
    """Register an object by the name it is saved under, unless its module did."""
    if keras.saving.get_registered_object(registered_name) is None:
        keras.saving.get_custom_objects()[registered_name] = value


def collect(model: keras.Model) -> CustomObjects:
    """Find every registered class and function a saved model refers to.

    Args:
        model: The model.

    Returns:
        How a new process gets them.

    Raises:
        ValueError: If one is not registered, or the model holds a `Lambda` layer.
    """
    objects = {}
    for config in _configs(_serialized(model)):
        _refuse_lambda(config)
        if _is_custom(config):
            registered_name = _registered_name(config)
            objects[registered_name] = _registered(registered_name, config)
    imported = sorted(name for name, value in objects.items() if _importable(value))
    by_value = sorted(objects.keys() - set(imported))
    pickled = _pickle([(name, objects[name]) for name in by_value]) if by_value else None
    where = ((name, objects[name].__module__, objects[name].__qualname__) for name in imported)
    return CustomObjects(tuple(where), pickled)


def _serialized(model: keras.Model) -> Any:
    try:
        return keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"`model` must be one that Keras can save. Received: model={model.name!r}: {error}"
        ) from error


def _configs(value: Any) -> Iterator[dict[str, Any]]:
    """Walk every serialized object in a configuration."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        # Losses and metrics of `compile` are no part of inference.
        value = [item for key, item in value.items() if key != "compile_config"]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _configs(item)


def _refuse_lambda(config: dict[str, Any]) -> None:
    lambdas = ("Lambda", "__lambda__", "lambda")
    if config["class_name"] in lambdas:
        inner = config.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        raise ValueError(
            "`model` must not hold Python code: a `Lambda` layer is refused. "
            f"Received: {config['class_name']} layer {name!r}. Write it as a layer decorated with "
            "@keras.saving.register_keras_serializable()"
        )


def _is_custom(config: dict[str, Any]) -> bool:
    """Whether a configuration refers to something that is not part of Keras."""
    module = config.get("module")
    if config["class_name"] == "function":
        return bool(config.get("registered_name")) and not _is_keras(module)
    return "registered_name" in config and not _is_keras(module)


def _is_keras(module: str | None) -> bool:
    return module == "keras" or (module or "").startswith("keras.")


def _registered_name(config: dict[str, Any]) -> str:
    return str(config["registered_name"] or config["class_name"])


def _registered(registered_name: str, config: dict[str, Any]) -> Any:
    is_function = config["class_name"] == "function"
    name = config["config"] if is_function else config["class_name"]
    value = keras.saving.get_registered_object(registered_name)
    if value is None:
        # Not registered, but found where it is defined, such as some layers of KerasHub.
        value = getattr(sys.modules.get(config.get("module") or ""), str(name), None)
    if value is None:
        raise ValueError(
            f"`model` must be made of registered {'functions' if is_function else 'layers'}, so "
            f"that it can be loaded again. Received: {name} of the module {config.get('module')}. "
            "Decorate it with @keras.saving.register_keras_serializable()"
        )
    return value


def _importable(value: Any) -> bool:
    """Whether a new process with the same import path finds a class or function in its module."""
    if value.__module__ == "__main__" or not _is_in_module(value):
        return False
    path: Any = None
    parts = value.__module__.split(".")
    for depth in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: depth + 1]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return True


def _is_in_module(value: Any) -> bool:
    """Whether a class or function is what its module has under its name."""
    try:
        return operator.attrgetter(value.__qualname__)(sys.modules[value.__module__]) is value
    except (AttributeError, KeyError):
        return False


def _pickle(objects: list[tuple[str, Any]]) -> bytes:
    """Pickle classes with their code: a notebook's, or those of a module found on no path."""
    require_packages(("cloudpickle",), "export", "exporting classes of a notebook or script")
    import cloudpickle

    modules = {value.__module__ for _, value in objects} - {"__main__"}
    loaded = [sys.modules[name] for name in sorted(modules) if name in sys.modules]
    for module in loaded:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(objects))
    finally:
        for module in loaded:
            cloudpickle.unregister_pickle_by_value(module)
