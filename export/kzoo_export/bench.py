"""Latency: files timed side by side, each runtime in a process of its own."""

import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kzoo.arguments import check_positive_integers
from kzoo_export.artifact.files import existing
from kzoo_export.artifact.isolated import IsolatedRunner, isolated
from kzoo_export.artifact.measure import summarize
from kzoo_export.artifact.report import Benchmark
from kzoo_export.progress import Progress, silent
from kzoo_export.samples import Reader
from kzoo_export.spec import OPEN
from kzoo_export.trials import single_batch

# Calls in one turn.
_TURN = 5


def benchmark(
    paths: Sequence[str | Path],
    samples: Mapping[str, np.ndarray] | None = None,
    threads: int = 2,
    repeats: int = 50,
    progress: Progress | None = None,
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
    tell = progress or silent
    with contextlib.ExitStack() as stack:
        runners = {str(path): stack.enter_context(isolated(path, threads)) for path in files}
        sizes = _sizes(runners.values())
        turns = {
            path: functools.partial(runner.time, _batch(runner, samples, sizes))
            for path, runner in runners.items()
        }
        for done in range(0, repeats, _TURN):
            for name, turn in turns.items():
                tell(Path(name).name, done / repeats)
                times[name] += turn(min(_TURN, repeats - done))
    tell("done", 1.0)
    return Benchmark({path: summarize(values, threads) for path, values in times.items()})


def _sizes(runners: Iterable[IsolatedRunner]) -> dict[tuple[str, int], int]:
    """Find the sizes that files fix, by input and axis: those with open axes are timed at them."""
    return {
        (entry.name, axis): size
        for runner in runners
        for entry in runner.inputs
        for axis, size in enumerate(entry.shape)
        if size != OPEN
    }


def _batch(
    runner: IsolatedRunner,
    samples: Mapping[str, np.ndarray] | None,
    sizes: Mapping[tuple[str, int], int],
) -> dict[str, np.ndarray]:
    """Cut the batch that a file is timed on."""
    inputs = tuple(
        entry.filled(sizes.get((entry.name, axis)) for axis in range(len(entry.shape)))
        for entry in runner.inputs
    )
    reader = Reader(inputs, limits={})
    chosen = reader.default() if samples is None else reader.read(samples, "samples")
    return single_batch(inputs, chosen.arrays)
