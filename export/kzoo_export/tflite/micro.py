"""Run a `.tflite` file in TensorFlow Lite Micro, the runtime of microcontrollers."""

from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo_export.loaded import LoadedFile
from kzoo_export.tflite.inspect import inspect

# Bytes for tensors and what kernels keep: several times what the tensors alone are estimated at.
_ARENA_FACTOR = 4
_LEAST_ARENA = 1 << 20


def load(path: str | Path, threads: int | None = None) -> LoadedFile:
    """Load a file.

    Args:
        path: The `.tflite` file.
        threads: For the sake of other runtimes: this one has a single thread.

    Returns:
        The loaded file.

    Raises:
        ValueError: If the runtime cannot load it. It writes why to standard error.
    """
    require_packages(("tflite_micro",), "microcontroller", "running files for microcontrollers")
    from tflite_micro import runtime

    inspection = inspect(path)
    arena = _ARENA_FACTOR * (inspection.arena_bytes or 0) + _LEAST_ARENA
    try:
        interpreter: Any = runtime.Interpreter.from_file(str(path), arena_size=arena)
    except RuntimeError as error:
        raise ValueError(
            "`path` must be a file that TensorFlow Lite Micro can load. "
            f"Received: path={str(path)!r} ({error})"
        ) from error

    def call(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for place, array in enumerate(arrays.values()):
            interpreter.set_input(np.ascontiguousarray(array), place)
        interpreter.invoke()
        return {
            tensor.name: interpreter.get_output(place)
            for place, tensor in enumerate(inspection.outputs)
        }

    return LoadedFile("TensorFlow Lite Micro", inspection.inputs, inspection.outputs, call)
