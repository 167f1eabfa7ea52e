"""The float32 form of a model that computes in another precision."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

_OTHERS = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")
_CONFIG = "config.json"


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
