"""Time files side by side: each in its own process, taking turns, so that drift hits all alike."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.subjects import Subject

Arrays = dict[str, np.ndarray]
BURST = 3  # invocations a turn; the first refills the caches that other files used, and is dropped
PAUSE = 0.02  # seconds between turns, for the thread pool of the last file to stop spinning


@dataclass(frozen=True)
class Measurement:
    """What one file did: its hidden states for the feeds, and its latencies in seconds."""

    subject: Subject
    size: int
    hidden: np.ndarray
    seconds: np.ndarray


def beside(path: Path, kind: str) -> Path:
    """Name a file that belongs to another; formats share stems, so the whole name counts.

    Args:
        path: The other file.
        kind: Ending without its dot.

    Returns:
        The path.
    """
    return path.with_name(f"{path.name}.{kind}")


@contextlib.contextmanager
def worker(path: Path, feeds: Arrays, threads: int) -> Iterator[subprocess.Popen[str]]:
    """Start the process that owns a file, and wait until it has written its outputs beside it.

    Args:
        path: The file.
        feeds: Inputs by the file's names.
        threads: Threads of the runtime.

    Yields:
        The process, ready for bursts.

    Raises:
        RuntimeError: If the file cannot be loaded or run.
    """
    feeds_file, outputs_file, log_file = (
        beside(path, kind) for kind in ("in.npz", "out.npz", "log")
    )
    np.savez(feeds_file, allow_pickle=False, **feeds)
    command = [sys.executable, "-m", "tests.bench.worker"]
    command += [str(path), str(feeds_file), str(outputs_file), str(threads)]
    with (
        log_file.open("w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            if ask(process, None) != "ready":
                raise RuntimeError(f"{path.name} does not run; see {log_file}")
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], question: str | None) -> str:
    """Send a line to a worker and read its answer; the answer is empty if the worker died.

    Args:
        process: The worker.
        question: The line, or `None` to only read.

    Returns:
        The answer without its line end.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    if question is not None:
        process.stdin.write(question + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def take_turns(
    processes: list[subprocess.Popen[str]], repeats: int, progress: Callable[[float], None]
) -> list[np.ndarray]:
    """Time all workers in rounds, starting each round with the next one.

    Args:
        processes: One worker a file.
        repeats: Least number of timed invocations a file.
        progress: Told the fraction done.

    Returns:
        Seconds of each invocation, an array a file, in the order of the rounds.
    """
    seconds: list[list[float]] = [[] for _ in processes]
    rounds = -(-repeats // (BURST - 1))
    for turn in range(rounds + 1):
        for step in range(len(processes)):
            i = (turn + step) % len(processes)
            burst = json.loads(ask(processes[i], str(BURST)))
            time.sleep(PAUSE)
            if turn:  # the first round warms up
                seconds[i] += burst[1:]
        progress(turn / rounds)
    return [np.array(each) for each in seconds]


def measure(
    subjects: list[Subject],
    folder: Path,
    batch: Arrays,
    *,
    threads: int,
    repeats: int,
    progress: Callable[[float], None],
) -> list[Measurement]:
    """Run and time files against each other.

    Args:
        subjects: What to time.
        folder: Where the files are.
        batch: Inputs by kzoo's names; the files see one row at a time.
        threads: Threads of each runtime.
        repeats: Least number of timed invocations a file.
        progress: Told the fraction done.

    Returns:
        A measurement for each subject, in their order.
    """
    paths = [folder / subject.file for subject in subjects]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(worker(path, feeds_for(subject, batch), threads))
            for subject, path in zip(subjects, paths, strict=True)
        ]
        seconds = take_turns(processes, repeats, progress)
    measurements = []
    for subject, path, each in zip(subjects, paths, seconds, strict=True):
        with np.load(beside(path, "out.npz")) as outputs:
            hidden = outputs[subject.hidden]
        measurements.append(Measurement(subject, path.stat().st_size, hidden, each))
    return measurements


def feeds_for(subject: Subject, batch: Arrays) -> Arrays:
    """Name and type a batch as a subject's file wants it.

    Args:
        subject: The subject.
        batch: Inputs by kzoo's names.

    Returns:
        Inputs by the file's names.
    """
    return {subject.inputs[name]: array.astype(subject.dtype) for name, array in batch.items()}
