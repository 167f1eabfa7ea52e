"""Command line of the layers' benchmarks: `python -m tests.bench.layers`."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.report import quartiles, table

BACKENDS = ("tensorflow", "jax", "torch")
HEADER = (
    *("backend", "layer", "B x T x D", "pass", "padding", "ms", "best other", "ms"),
    *("ratio", "IQR of ratio", "result"),
)
MEMORY_HEADER = ("backend", "layer", "pass", "MB", "best other", "MB", "ratio", "result")
MEMORY_SIZE = "1 x 2048 x 512"
# Peaks are read in pages and rounded up by allocators: a percent is no difference.
MEMORY_SLACK = 1.01
EPILOG = """\
examples:
  python -m tests.bench.layers                           all backends, 12 timed runs a layer
  python -m tests.bench.layers --backend torch --repeats 30
  python -m tests.bench.layers --markdown layers.md --json layers.json

The exit code is 0 if no row is above 1.0, 1 otherwise.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.layers",
        description="Time kzoo's attention and block against those of Keras, KerasHub and PyTorch.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--backend", choices=BACKENDS, help="only this backend (default: all)")
    add("--repeats", type=int, default=12, help="timed runs a layer (default: 12)")
    add("--json", type=Path, metavar="FILE", help="write the numbers here")
    add("--markdown", type=Path, metavar="FILE", help="write the tables here")
    return parser.parse_args(arguments)


def answers(backend: str, *arguments: str) -> Iterator[Any]:
    """Run a worker and read its JSON lines as they come."""
    command = [sys.executable, "-m", "tests.bench.layers.worker", *arguments]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    if process.returncode:
        raise RuntimeError(f"The worker of {backend} ended with {process.returncode}")


def time_cells(backend: str, row: dict[str, Any]) -> tuple[str, ...]:
    """Compare ours, the first, with the fastest of the others."""
    seconds = {maker: np.array(each) for maker, each in row["seconds"].items()}
    ours = seconds.pop("kzoo")
    best = min(seconds, key=lambda maker: float(np.median(seconds[maker])))
    ratio = np.median(ours) / np.median(seconds[best])
    low, high = quartiles(ours / seconds[best])
    return (
        backend,
        row["kind"],
        row["size"],
        "forward + backward" if row["backward"] else "forward",
        "yes" if row["padded"] else "no",
        f"{np.median(ours) * 1e3:.1f}",
        best,
        f"{np.median(seconds[best]) * 1e3:.1f}",
        f"{ratio:.2f}",
        f"{low:.2f}-{high:.2f}",
        "met" if ratio <= 1.0 else "MISSED",
    )


def memory_cells(backend: str, kind: str, backward: bool) -> tuple[str, ...]:
    """Compare the peak memory of ours with the least of the others, each in its own process."""
    count = 3 if backend == "torch" else 2
    peaks = dict(
        next(iter(list(answers(backend, "memory", kind, str(index), str(backward)))))
        for index in range(count)
    )
    ours = peaks.pop("kzoo")
    best = min(peaks, key=lambda maker: peaks[maker])
    return (
        backend,
        kind,
        "forward + backward" if backward else "forward",
        f"{ours / 1e6:.1f}",
        best,
        f"{peaks[best] / 1e6:.1f}",
        f"{ours / peaks[best]:.2f}",
        "met" if ours <= MEMORY_SLACK * peaks[best] else "MISSED",
    )


def run(options: argparse.Namespace) -> int:
    """Measure and report."""
    backends = [options.backend] if options.backend else BACKENDS
    lines, memory = [], []
    for backend in backends:
        for row in answers(backend, "time", str(options.repeats)):
            lines.append(time_cells(backend, row))
            print(" ".join(lines[-1]), file=sys.stderr, flush=True)
        for kind, backward in product(("attention", "block"), (False, True)):
            memory.append(memory_cells(backend, kind, backward))
            print("memory", *memory[-1], file=sys.stderr, flush=True)
    text = (
        f"{table(HEADER, lines)}\n\nPeak memory beyond weights and input at {MEMORY_SIZE}:\n\n"
        f"{table(MEMORY_HEADER, memory)}\n\nMedian of {options.repeats} runs taken in turns, "
        f"float32, {os.cpu_count()} cores; compiled on TensorFlow and JAX, eager on PyTorch.\n"
    )
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json:
        numbers = {"time": [dict(enumerate(each)) for each in lines], "memory": memory}
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return int(any(each[-1] != "met" for each in (*lines, *memory)))


if __name__ == "__main__":
    sys.exit(run(parse()))
