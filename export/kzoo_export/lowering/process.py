"""The parent's side of lowering: start the child, follow it, and explain its failures."""

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from kzoo_export.errors import ExportError, plain_text
from kzoo_export.lowering.routes import FAILURE_FILE, PROGRESS, ROUTES, SPEC_FILE, file_name
from kzoo_export.progress import Progress
from kzoo_export.spec import Spec

_STEPS = ("start", "load", "lower")
_LAST_LINES = 12
# Start-up chatter of the native libraries: never the reason of a failure.
_CHATTER = re.compile(r"^(WARNING: All log messages|[IW]0000 |\d{4}-\d\d-\d\d .*: [IW] |To enable)")


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A float32 file, what it is, the seconds of each step, and what was printed meanwhile."""

    path: Path
    spec: Spec
    seconds: Mapping[str, float]
    log: tuple[str, ...]


@contextlib.contextmanager
def lowering(
    source_folder: Path, spec: Spec, folder: Path
) -> Iterator[Callable[[Progress], Lowered]]:
    """Lower a model in a child process under the backend of its route, which ends in this context.

    The child works while the context does other things, such as running the reference.

    Args:
        source_folder: The saved model.
        spec: What to make.
        folder: The job folder, where the file appears. It must not be there yet.

    Yields:
        A function that waits for the float32 file. It is called with a function that is told each
        step that begins and the fraction that is done, and raises `ExportError` if the child
        failed, was killed, or did not make the file.
    """
    folder.mkdir()
    (folder / SPEC_FILE).write_text(json.dumps(spec.to_dict()))
    begun = time.time()
    with subprocess.Popen(
        _command(source_folder, folder),
        # Never written to: it ends when this process does, which the child watches.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(spec.route, folder),
    ) as child:
        try:
            yield lambda progress: _finish(child, begun, spec, folder, progress)
        finally:
            child.kill()


def _finish(
    child: subprocess.Popen[str], begun: float, spec: Spec, folder: Path, progress: Progress
) -> Lowered:
    """Follow a child to its end, and take what it made."""
    started = {_STEPS[0]: begun}
    last: collections.deque[str] = collections.deque(maxlen=200)
    progress(_STEPS[0], 0.0)
    assert child.stdout is not None
    for line in child.stdout:
        if not line.startswith(PROGRESS):
            last.append(line.rstrip())
            continue
        step, moment = line.removeprefix(PROGRESS).split()
        started[step] = float(moment)
        progress(step, min(1.0, len(started) / (len(_STEPS) + 1)))
    status = child.wait()
    if status != 0:
        raise ExportError(_explain(status, spec.route, folder, last))
    path = folder / file_name(spec.format)
    if not path.is_file():
        raise ExportError(f"Lowering by the route {spec.route!r} made no file")
    return Lowered(path, spec, _durations(started), tuple(line for line in last if line))


def _command(source_folder: Path, folder: Path) -> list[str]:
    # -P: the current folder must not shadow installed packages any more than it does here.
    return [sys.executable, "-P", "-m", "kzoo_export.lowering", str(source_folder), str(folder)]


def _environment(route: str, folder: Path) -> dict[str, str]:
    """This process' environment with the route's backend, on the CPU, and the same import path.

    What frameworks write besides goes to the job folder, and is removed with it.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {
        **os.environ,
        "KERAS_BACKEND": ROUTES[route].backend,
        "PYTHONPATH": path,
        "TMPDIR": str(folder),
        "PYTHONIOENCODING": "utf-8",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }


def _explain(status: int, route: str, folder: Path, last: Iterable[str]) -> str:
    """Say why the child failed, with the last lines that help."""
    if status < 0:
        name = signal.Signals(-status).name
        reason = f"The process of the route {route!r} was killed by {name}"
        if name == "SIGKILL":
            reason += " (often for lack of memory)"
    elif (folder / FAILURE_FILE).is_file():
        failure = json.loads((folder / FAILURE_FILE).read_text())
        message = plain_text(failure["message"])
        return f"The route {route!r} failed: {failure['type']}: {message}"
    else:
        reason = f"The process of the route {route!r} ended with status {status}"
    useful = [line for line in last if line.strip() and not _CHATTER.match(line)]
    tail = "\n  ".join(useful[-_LAST_LINES:])
    return f"{reason}\nIts last lines:\n  {tail}" if tail else reason


def _durations(started: Mapping[str, float]) -> dict[str, float]:
    """Turn the moments at which steps began into the seconds they took."""
    names = list(started)
    return {
        name: round(started[following] - started[name], 3)
        for name, following in itertools.pairwise(names)
    }
