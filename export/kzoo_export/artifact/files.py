"""Exported files: open one by its suffix, run it, and put finished ones in their place."""

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from kzoo_export.artifact.report import Inspection, Report
from kzoo_export.errors import ExportError
from kzoo_export.spec import TensorSpec, format_of
from kzoo_export.trials import run_rows

_NOTHING: Mapping[Path, Path] = {}


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


def run_batches(
    runner: Runner, arrays: Mapping[str, np.ndarray], batch_size: int | None = None
) -> dict[str, np.ndarray]:
    """Run every row through a file, a batch at a time.

    Args:
        runner: The loaded file.
        arrays: Inputs by name, any number of rows.
        batch_size: Rows of a batch, where the file leaves them open; by default 1.

    Returns:
        Outputs by name, with as many rows.
    """
    return run_rows(runner, arrays, batch_size or max(1, runner.inputs[0].shape[0]))


def check_target(path: Path) -> None:
    """Check early that a file can be written where it is wanted.

    Args:
        path: The final name.

    Raises:
        ValueError: If its folder does not exist or cannot be written, or the name is a folder's.
    """
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(f"`path` must be in an existing folder. Received: path={str(path)!r}")
    if path.is_dir():
        raise ValueError(f"`path` must be a file, not a folder. Received: path={str(path)!r}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"`path` must be in a writable folder. Received: path={str(path)!r}")


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """Make a temporary folder that is gone afterwards, also where the process is terminated.

    Yields:
        The folder.
    """
    with (
        _terminating_by_exception(),
        tempfile.TemporaryDirectory(prefix="kzoo-", ignore_cleanup_errors=True) as name,
    ):
        yield Path(name)


@contextlib.contextmanager
def _terminating_by_exception() -> Iterator[None]:
    """Let SIGTERM, such as of a job's time limit, raise `SystemExit`, so that all is cleaned up.

    Only where the process has no handler of its own, and in the main thread, which runs handlers.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(number: int, frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def save(reports: Mapping[Path, Report], assets: Mapping[Path, Path] = _NOTHING) -> None:
    """Copy verified files to their final names, each with its report beside it.

    Everything is first written in full under hidden names in the target folders; only then are
    the names changed, which no other process sees half done.

    Args:
        reports: The report of each file that waits in the working folder.
        assets: Of some of these files, the folder that goes beside it.

    Raises:
        ExportError: If a file cannot be written, for want of space or of rights. Nothing is left.
    """
    with contextlib.ExitStack() as stack:
        finished = []
        for source, report in reports.items():
            target = Path(report.path)
            file = stack.enter_context(_partial(target))
            as_json = stack.enter_context(_partial(Path(f"{target}.report.json")))
            as_markdown = stack.enter_context(_partial(Path(f"{target}.report.md")))
            try:
                shutil.copyfile(source, file[0])
                as_json[0].write_text(report.to_json(), encoding="utf-8")
                as_markdown[0].write_text(report.to_markdown(), encoding="utf-8")
                if source in assets:
                    folder = stack.enter_context(_partial(assets_of(target)))
                    shutil.copytree(assets[source], folder[0])
                    finished.append(folder)
            except OSError as error:
                raise ExportError(f"{target} could not be written: {_reason(error)}") from error
            finished += [file, as_json, as_markdown]
        for partial, final in finished:
            _put(partial, final)


def assets_of(path: str | Path) -> Path:
    """Name the folder beside a file that has what it takes to feed it texts and read its answers.

    Args:
        path: The file.

    Returns:
        The folder.
    """
    return Path(f"{path}.assets")


def _reason(error: OSError) -> str:
    """Say why a file or a folder could not be written."""
    reasons = error.args[0] if isinstance(error, shutil.Error) else None
    return str(reasons[0][-1] if reasons else error.strerror)


def _put(partial: Path, final: Path) -> None:
    """Give a finished file or folder its name, for which a folder of files must first make room."""
    if not (partial.is_dir() and final.exists()):
        partial.replace(final)
        return
    with _partial(final.with_name(f"{final.name}.old")) as (old, _):
        final.replace(old)
        partial.replace(final)


@contextlib.contextmanager
def _partial(final: Path) -> Iterator[tuple[Path, Path]]:
    """Reserve a hidden name beside a final one, and leave nothing under it."""
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    try:
        yield partial, final
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)
