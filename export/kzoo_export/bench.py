"""Latency: files timed side by side, each runtime in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kzoo.arguments import check_positive_integers
from kzoo_export.artifact.files import existing, load
from kzoo_export.artifact.latency import summarize, time_calls
from kzoo_export.artifact.report import Benchmark
from kzoo_export.errors import ExportError
from kzoo_export.samples import Reader, batches, save_arrays

# Calls in one turn.
_TURN = 5


def benchmark(
    paths: Sequence[str | Path],
    samples: Mapping[str, np.ndarray] | None = None,
    threads: int = 2,
    repeats: int = 50,
    progress: Callable[[str, float], None] | None = None,
) -> Benchmark:
    """Time files against each other on this machine.

    The files take turns of a few calls, so that a busy moment of the machine hits them all, and
    each runs in a process that has imported nothing but its runtime.

    Args:
        paths: `.tflite` and `.onnx` files.
        samples: Arrays by input name, used by every file; by default random ones.
        threads: Threads of each runtime.
        repeats: Timed calls of each file.
        progress: Called with a step and the fraction that is done.

    Returns:
        Median and spread by file, relative to the first.

    Raises:
        ValueError: If an argument makes no sense or a file does not exist.
    """
    if isinstance(paths, (str, Path)) or not paths:
        raise ValueError(f"`paths` must be a list of files. Received: paths={paths!r}")
    check_positive_integers(repeats=repeats, threads=threads)
    repeats, threads = int(repeats), int(threads)
    files = [existing(path) for path in paths]
    times: dict[str, list[float]] = {str(path): [] for path in files}
    tell = progress or (lambda step, fraction: None)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kzoo-bench-")))
        feed = _save_feed(samples, folder)
        workers = {str(path): stack.enter_context(_worker(path, threads, feed)) for path in files}
        for done in range(0, repeats, _TURN):
            for path, turn in workers.items():
                tell(Path(path).name, done / repeats)
                times[path] += turn(min(_TURN, repeats - done))
    tell("done", 1.0)
    return Benchmark({path: summarize(values, threads) for path, values in times.items()})


def _save_feed(samples: Mapping[str, np.ndarray] | None, folder: Path) -> str:
    if samples is None:
        return ""
    path = folder / "samples.npz"
    save_arrays(path, samples)
    return str(path)


@contextlib.contextmanager
def _worker(path: Path, threads: int, feed: str) -> Iterator[Callable[[int], list[float]]]:
    """Start a process that times a file whenever it is asked to."""
    command = [sys.executable, "-P", "-m", "kzoo_export.bench", str(path), str(threads), feed]
    search = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        requests, answers, errors = process.stdin, process.stdout, process.stderr

        def turn(repeats: int) -> list[float]:
            try:
                requests.write(f"{repeats}\n")
                requests.flush()
            except BrokenPipeError:
                pass  # The process is gone: it answers nothing, which is told below.
            answer = answers.readline()
            if not answer:
                tail = "\n  ".join(errors.read().splitlines()[-6:])
                raise ExportError(f"Timing {path.name} failed:\n  {tail}")
            return [float(value) for value in json.loads(answer)]

        try:
            yield turn
        finally:
            process.kill()
            # What is still buffered for a dead process has nowhere to go.
            with contextlib.suppress(BrokenPipeError):
                requests.close()


def _serve(path: str, threads: str, feed: str) -> None:
    """Load a file, then time as many calls as each line of standard input asks for."""
    # The runtimes print to standard output; answers go to a copy of it, made first.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    runner = load(path, threads=int(threads))
    reader = Reader(runner.inputs, limits={})
    if feed:
        with np.load(feed, allow_pickle=False) as arrays:
            samples = reader.read(dict(arrays), "samples")
    else:
        samples = reader.default()
    batch = next(batches(samples.arrays, runner.inputs[0].shape[0]))
    for line in sys.stdin:
        times = time_calls(runner, batch, int(line))
        answers.write(json.dumps(times) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
