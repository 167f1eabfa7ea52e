"""Run a file in a process of its own: a damaged one takes down its runtime, and nothing else.

The process, `python -m kzoo_export.artifact.isolated PATH THREADS`, imports the runtime alone. It
answers with the signature of the file, then each request with outputs or times. A message is a JSON
header and arrays, with the lengths of both in front. A third argument is the module of another
runtime than the one of the format.
"""

import contextlib
import functools
import importlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from kzoo_export.artifact.files import existing, load
from kzoo_export.artifact.measure import time_calls
from kzoo_export.errors import ExportError
from kzoo_export.spec import TensorSpec

_LENGTHS = struct.Struct(">QQ")
# Seconds after which a file that is still being loaded is given up.
_LOADING_LIMIT = 300.0
_LAST_LINES = 6

Message = tuple[dict[str, Any], dict[str, np.ndarray]]


class IsolatedRunner:
    """A file loaded in another process: a function from arrays by name to arrays by name."""

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        ask: Callable[[dict[str, Any], Mapping[str, np.ndarray]], Message],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._ask = ask

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file once.

        Args:
            feed: One array for each input, of the file's own shape and dtype.

        Returns:
            The outputs by name.
        """
        _, outputs = self._ask({"repeats": 0}, feed)
        return {tensor.name: outputs[tensor.name] for tensor in self.outputs}

    def time(self, feed: Mapping[str, np.ndarray], repeats: int) -> list[float]:
        """Time single calls, after a few that are not timed.

        Args:
            feed: One batch.
            repeats: Timed calls.

        Returns:
            Milliseconds of each call.
        """
        answer, _ = self._ask({"repeats": repeats}, feed)
        return [float(value) for value in answer["times"]]


@contextlib.contextmanager
def isolated(
    path: str | Path, threads: int | None = None, runtime: str = ""
) -> Iterator[IsolatedRunner]:
    """Load a file in a process of its own.

    Args:
        path: A `.tflite` or `.onnx` file.
        threads: Threads of the runtime, or `None` for its own choice.
        runtime: A module with a function `load`; by default the runtime of the format.

    Yields:
        The loaded file.

    Raises:
        ValueError: If the file cannot be loaded; also where that ends the process.
        ExportError: If the process ends while it runs the file.
    """
    path = existing(path)
    command = [sys.executable, "-P", "-m", __name__, str(path), str(threads or 0), runtime]
    search = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with _killing_after(process, _LOADING_LIMIT):
                loaded = _receive(process.stdout)
            if loaded is None:
                raise ValueError(f"`path` must be a whole file. Received: {_end(process, path)}")
            header, _ = loaded
            if "error" in header:
                process.kill()
                raise ValueError(f"{header['error']}{_last_lines(process) if runtime else ''}")
            yield IsolatedRunner(
                tuple(map(TensorSpec.from_dict, header["inputs"])),
                tuple(map(TensorSpec.from_dict, header["outputs"])),
                ask=functools.partial(_ask, process, path),
            )
        finally:
            process.kill()
            # What is still buffered for a dead process has nowhere to go.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def _ask(
    process: "subprocess.Popen[bytes]",
    path: Path,
    header: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> Message:
    """Send a request and wait for the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    # A process that is gone answers nothing, which is told below.
    with contextlib.suppress(BrokenPipeError):
        _send(process.stdin, header, arrays)
    answer = _receive(process.stdout)
    if answer is None:
        raise ExportError(f"Running {path.name} failed: {_end(process, path)}")
    if "error" in answer[0]:
        raise ExportError(f"Running {path.name} failed: {answer[0]['error']}")
    return answer


def _end(process: "subprocess.Popen[bytes]", path: Path) -> str:
    """Say how a process ended, with its last lines."""
    last, status = _last_lines(process), process.wait()
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    return f"path={str(path)!r}, whose runtime ended with {how}{last}"


def _last_lines(process: "subprocess.Popen[bytes]") -> str:
    """Read what a process that has ended said last."""
    assert process.stderr is not None
    lines = process.stderr.read().decode(errors="replace").splitlines()
    return "\n  ".join(["", *lines[-_LAST_LINES:]]) if lines else ""


@contextlib.contextmanager
def _killing_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _send(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a message."""
    # By position: NumPy has names of its own that an array cannot have.
    head, body = json.dumps({**header, "names": list(arrays)}).encode(), io.BytesIO()
    np.savez(body, *arrays.values())
    stream.write(_LENGTHS.pack(len(head), body.tell()))
    stream.write(head)
    stream.write(body.getvalue())
    stream.flush()


def _receive(stream: IO[bytes]) -> Message | None:
    """Read a message; there is none where the other process has ended."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, body = (stream.read(length) for length in _LENGTHS.unpack(lengths))
    header = json.loads(head)
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return header, dict(zip(header["names"], arrays.values(), strict=True))


def _serve(path: str, threads: str, runtime: str) -> None:
    """Load a file, then answer each request on standard input."""
    # The runtimes print to standard output; answers go to a copy of it, made first.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        loading = importlib.import_module(runtime).load if runtime else load
        runner = loading(path, threads=int(threads) or None)
    except Exception as error:
        _send(answers, {"error": str(error)}, {})
        return
    sides = {"inputs": runner.inputs, "outputs": runner.outputs}
    _send(answers, {side: list(map(asdict, tensors)) for side, tensors in sides.items()}, {})
    while (request := _receive(sys.stdin.buffer)) is not None:
        header, feed = request
        try:
            if header["repeats"]:
                _send(answers, {"times": time_calls(runner, feed, header["repeats"])}, {})
            else:
                _send(answers, {}, runner(feed))
        except Exception as error:
            _send(answers, {"error": str(error)}, {})


if __name__ == "__main__":
    _serve(*sys.argv[1:])
