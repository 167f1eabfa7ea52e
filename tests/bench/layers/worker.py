"""The process that measures on one backend.

`python -m tests.bench.layers.worker time REPEATS` answers a JSON line for each row of the table;
`... memory KIND NUMBER BACKWARD` answers the bytes that one subject needs beyond its weights.
"""

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.bench.layers.backends import BACKENDS, Run
from tests.bench.layers.subjects import SIZES, Size, makers

MEMORY_RUNS = 5
SHORTEST = 0.6  # share of a row that is real where there is padding


def inputs(size: Size, padded: bool) -> tuple[Any, Any]:
    """Make hidden states and a mask whose rows have different lengths."""
    random = np.random.default_rng(0)
    shape = (size.batch_size, size.length, size.hidden_dim)
    hidden = keras.ops.convert_to_tensor(random.normal(size=shape).astype("float32"))
    if not padded:
        return hidden, None
    lengths = np.linspace(SHORTEST, 0.9, size.batch_size) * size.length
    return hidden, keras.ops.convert_to_tensor(np.arange(size.length) < lengths[:, None])


def prepare(kind: str, index: int, size: Size, padded: bool, backward: bool) -> tuple[str, Run]:
    """Build a subject and what runs it."""
    subject = makers(kind)[index](size)
    hidden, mask = inputs(size, padded)
    subject.apply(hidden, mask, False)
    return subject.maker, BACKENDS[keras.config.backend()](subject, hidden, mask, backward)


def rows(repeats: int) -> Iterator[dict[str, Any]]:
    """Time all subjects of a row in turns, so that drift hits all alike."""
    both = (False, True)
    for kind, size, backward, padded in product(("attention", "block"), SIZES, both, both):
        subjects = [
            prepare(kind, index, size, padded, backward) for index in range(len(makers(kind)))
        ]
        seconds: dict[str, list[float]] = {maker: [] for maker, _ in subjects}
        for turn in range(repeats + 1):
            for step in range(len(subjects)):
                maker, run = subjects[(turn + step) % len(subjects)]
                start = time.perf_counter()
                run()
                if turn:  # the first round compiles
                    seconds[maker].append(time.perf_counter() - start)
        yield {
            "kind": kind,
            "size": str(size),
            "backward": backward,
            "padded": padded,
            "seconds": seconds,
        }
        del subjects
        gc.collect()


def status(field: str) -> int:
    """Read a size in bytes of this process from the kernel."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def peak(run: Run) -> int:
    """Measure how much more memory a run needs at its peak than there is before it.

    The least of several: what the allocator keeps between them is no need of the run.
    """
    run()  # compiles
    peaks = []
    for _ in range(MEMORY_RUNS):
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = status("VmRSS")
        run()
        peaks.append(status("VmHWM") - before)
    return min(peaks)


def main(task: str, *arguments: str) -> None:
    """Answer on standard output, where nothing else may print."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if task == "time":
        for row in rows(int(arguments[0])):
            print(json.dumps(row), file=answers, flush=True)
    else:
        kind, index, backward = arguments[0], int(arguments[1]), arguments[2] == "True"
        maker, run = prepare(kind, index, SIZES[-1], False, backward)
        print(json.dumps([maker, peak(run)]), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
