"""Hand a prepared model to another process, through a folder.

The folder holds `model.keras`, `source.json` with the backend it is used on and the places of the
user's classes and, where some classes cannot be imported, `classes.pickle` with their code.
"""

import importlib
import json
import operator
from pathlib import Path
from typing import Any

import keras

from kzoo_export.source.prepare import Source

_MODEL = "model.keras"
_SOURCE = "source.json"
_CLASSES = "classes.pickle"


def save(source: Source, folder: Path) -> None:
    """Write a model and what it takes to load it.

    Args:
        source: The prepared model.
        folder: An existing folder.
    """
    source.model.save(folder / _MODEL)
    facts = {"backend": source.backend, "imported": source.custom_objects.imported}
    (folder / _SOURCE).write_text(json.dumps(facts))
    if source.custom_objects.pickled is not None:
        (folder / _CLASSES).write_bytes(source.custom_objects.pickled)


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
