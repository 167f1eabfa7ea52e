"""Hand a prepared model to another process, through a folder.

The folder holds `model.keras`, `modules.json` with the modules that register the user's classes
and, where some classes cannot be imported, `classes.pickle` with their code.
"""

import importlib
import json
from pathlib import Path

import keras

from kzoo_export.source.prepare import Source

_MODEL = "model.keras"
_MODULES = "modules.json"
_CLASSES = "classes.pickle"


def save(source: Source, folder: Path) -> None:
    """Write a model and what it takes to load it.

    Args:
        source: The prepared model.
        folder: An existing folder.
    """
    source.model.save(folder / _MODEL)
    (folder / _MODULES).write_text(json.dumps(source.custom_objects.modules))
    if source.custom_objects.pickled is not None:
        (folder / _CLASSES).write_bytes(source.custom_objects.pickled)


def load(folder: Path) -> keras.Model:
    """Load the model in safe mode, the user's classes first.

    Args:
        folder: What `save` wrote, a moment ago and on this machine: its pickled classes are run.

    Returns:
        The model, under the backend of this process.
    """
    for module in json.loads((folder / _MODULES).read_text()):
        importlib.import_module(module)
    if (folder / _CLASSES).is_file():
        import cloudpickle

        for registered_name, value in cloudpickle.loads((folder / _CLASSES).read_bytes()):
            package, name = registered_name.split(">", 1)
            keras.saving.register_keras_serializable(package, name)(value)
    return keras.saving.load_model(folder / _MODEL, compile=False, safe_mode=True)
