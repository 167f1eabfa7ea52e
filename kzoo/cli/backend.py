"""The Keras backend that the command runs on."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def choose_backend() -> None:
    """Fall back on an installed backend when the configured one is absent."""
    if "KERAS_BACKEND" in os.environ:
        return
    config = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    configured = json.loads(config.read_text())["backend"] if config.is_file() else BACKENDS[0]
    installed = [name for name in (configured, *BACKENDS) if find_spec(name)]
    if installed:
        os.environ["KERAS_BACKEND"] = installed[0]
