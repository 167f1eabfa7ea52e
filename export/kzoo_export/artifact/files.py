"""Open an exported file by its suffix. Imports no deep-learning framework."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from kzoo_export.artifact.report import Inspection
from kzoo_export.samples import batches
from kzoo_export.spec import TensorSpec, format_of


class Runner(Protocol):
    """A loaded file: a function from arrays by name to arrays by name."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file once, on arrays of the file's own shapes."""


def load(path: str | Path, threads: int | None = None) -> Runner:
    """Load a file into the runtime of its format.

    Args:
        path: A `.tflite` or `.onnx` file.
        threads: Threads of the runtime, or `None` for its own choice.

    Returns:
        The loaded file.

    Raises:
        ValueError: If there is no such file.
    """
    module = importlib.import_module(f"kzoo_export.{format_of(existing(path))}.runtime")
    return cast(Callable[..., Runner], module.load)(path, threads=threads)


def inspect(path: str | Path) -> Inspection:
    """Look inside a file without running it.

    Args:
        path: A `.tflite` or `.onnx` file.

    Returns:
        What it is made of.

    Raises:
        ValueError: If there is no such file, or it is damaged.
    """
    format = format_of(existing(path))
    module = importlib.import_module(f"kzoo_export.{format}.inspect")
    try:
        return cast(Callable[..., Inspection], module.inspect)(path)
    except (ImportError, OSError, ValueError):
        raise
    except Exception as error:  # Whatever the fields of a damaged file lead to.
        raise ValueError(
            f"`path` must be a whole .{format} file. Received: path={str(path)!r}, which cannot be "
            f"read ({type(error).__name__}: {error})"
        ) from error


def existing(path: str | Path) -> Path:
    """Check that a file exists.

    Args:
        path: The file.

    Returns:
        The same path.

    Raises:
        ValueError: If there is no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"`path` must be an existing file. Received: path={str(path)!r}")
    return Path(path)


def run_batches(runner: Runner, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run every row through a file, a batch at a time.

    Args:
        runner: The loaded file.
        arrays: Inputs by name, any number of rows.

    Returns:
        Outputs by name, with as many rows.
    """
    batch_size = runner.inputs[0].shape[0]
    num_rows = len(next(iter(arrays.values())))
    outputs = [runner(batch) for batch in batches(arrays, batch_size)]
    return {
        tensor.name: np.concatenate([np.asarray(out[tensor.name]) for out in outputs])[:num_rows]
        for tensor in runner.outputs
    }
