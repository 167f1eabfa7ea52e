"""Run a `.tflite` file in TensorFlow Lite Micro, the runtime of microcontrollers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo_export.errors import cannot_run
from kzoo_export.tflite.inspect import inspect
from kzoo_export.tflite.runtime import to_floats, to_integers

# Bytes for tensors and what kernels keep: several times what the tensors alone are estimated at.
_ARENA_FACTOR = 4
_LEAST_ARENA = 1 << 20


class Runner:
    """A loaded file: a function from arrays by name to arrays by name, floats as in LiteRT."""

    def __init__(self, path: Path) -> None:
        from tflite_micro import runtime

        inspection = inspect(path)
        self._inputs, self._outputs = inspection.inputs, inspection.outputs
        self.inputs = tuple(tensor.as_float for tensor in self._inputs)
        self.outputs = tuple(tensor.as_float for tensor in self._outputs)
        arena = _ARENA_FACTOR * (inspection.arena_bytes or 0) + _LEAST_ARENA
        self._interpreter: Any = runtime.Interpreter.from_file(str(path), arena_size=arena)

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file once.

        Args:
            feed: One array for each input, of the file's own shape and dtype.

        Returns:
            The outputs by name.

        Raises:
            ExportError: If the runtime cannot compute them.
        """
        try:
            for place, tensor in enumerate(self._inputs):
                array = to_integers(feed[tensor.name], tensor)
                self._interpreter.set_input(np.ascontiguousarray(array), place)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise cannot_run("TensorFlow Lite Micro", feed, error) from error
        return {
            tensor.name: to_floats(self._interpreter.get_output(place), tensor)
            for place, tensor in enumerate(self._outputs)
        }


def load(path: str | Path, threads: int | None = None) -> Runner:
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
    try:
        return Runner(Path(path))
    except RuntimeError as error:
        raise ValueError(
            "`path` must be a file that TensorFlow Lite Micro can load. "
            f"Received: path={str(path)!r} ({error})"
        ) from error
