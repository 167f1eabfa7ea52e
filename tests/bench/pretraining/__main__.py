"""Command line of pretraining's benchmarks: `python -m tests.bench.pretraining`."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.layers.__main__ import BACKENDS
from tests.bench.pretraining.trainers import TRAINERS, B, T
from tests.bench.report import quartiles, table

# The least ratio of kzoo's tokens a second to those of another library.
TARGETS = {"KerasHub": 1.2, "Hugging Face": 1.8}
LEAST_BATCHES, LEAST_PREPARE = 1.0, 0.7
HEADER = ("backend", "kzoo tokens/s", "beside it", "tokens/s", "ratio", "IQR", "target", "result")
DATA_HEADER = ("what", "measured", "beside it", "ratio", "IQR", "target", "result")
Row = tuple[tuple[Any, ...], bool]
EPILOG = """\
examples:
  python -m tests.bench.pretraining                          all backends, and the data
  python -m tests.bench.pretraining --backend jax --repeats 20
  python -m tests.bench.pretraining --skip-data --markdown pretraining.md

The exit code is 0 if every target is met, 1 if one is missed.
"""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.pretraining",
        description="Time pretraining of a BERT of 4 x 512 beside KerasHub and Hugging Face.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--backend", choices=BACKENDS, help="only this backend (default: all)")
    add("--repeats", type=int, default=8, help="turns of each trainer (default: 8)")
    add("--skip-data", action="store_true", help="leave preparation and batches out")
    add("--megabytes", type=float, default=32, help="text to prepare (default: 32)")
    add("--json", type=Path, metavar="FILE", help="write the numbers here")
    add("--markdown", type=Path, metavar="FILE", help="write the tables here")
    return parser.parse_args()


@contextlib.contextmanager
def trainer(kind: str, backend: str) -> Iterator[subprocess.Popen[str]]:
    """Start the process of a trainer, and wait until it is warm."""
    command = [sys.executable, "-m", "tests.bench.pretraining.worker", kind]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"The trainer {kind} does not start on {backend}")
        yield process
        process.stdin.close()


def seconds(process: subprocess.Popen[str], steps: int) -> float:
    """Have a trainer make steps."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(steps, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def time_trainers(backend: str, repeats: int, steps: int = 2) -> dict[str, list[float]]:
    """Time the trainers in turns, so that drift hits all alike; tokens a second of each turn."""
    speeds: dict[str, list[float]] = {kind: [] for kind in TRAINERS}
    with contextlib.ExitStack() as stack:
        processes = {kind: stack.enter_context(trainer(kind, backend)) for kind in TRAINERS}
        for turn in range(repeats):
            kinds = list(TRAINERS)
            for kind in kinds[turn % len(kinds) :] + kinds[: turn % len(kinds)]:
                speeds[kind].append(steps * B * T / seconds(processes[kind], steps))
    return speeds


def compare(ours: list[float], theirs: list[float], target: float) -> tuple[tuple[str, ...], bool]:
    """Return the ratio of medians, the quartiles of the ratios of turns, and whether it is met."""
    ratio = float(np.median(ours) / np.median(theirs))
    low, high = quartiles(np.array(ours) / np.array(theirs))
    met = ratio >= target
    cells = (f"{ratio:.2f}", f"{low:.2f}-{high:.2f}", f">= {target}", "met" if met else "MISSED")
    return cells, met


def training_rows(speeds: dict[str, dict[str, list[float]]]) -> Iterator[Row]:
    """Yield a row of the table for each backend and other library."""
    for backend, each in speeds.items():
        for other, target in TARGETS.items():
            cells, met = compare(each["kzoo"], each[other], target)
            ours, theirs = (f"{np.median(each[kind]):,.0f}" for kind in ("kzoo", other))
            yield (backend, ours, other, theirs, *cells), met


def data_rows(megabytes: float, repeats: int) -> Iterator[Row]:
    """Measure preparation and batches; yield their rows."""
    from kzoo.models import load_tokenizer
    from tests.bench.pretraining import data

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data.write_text(folder, megabytes)
        tokenizer = load_tokenizer("minilm_l6_v2")
        speeds = data.time_preparation(folder, tokenizer, repeats, workers=2)
        cells, met = compare(speeds["prepare"], speeds["encode_batch"], LEAST_PREPARE)
        ours, theirs = (f"{np.median(speeds[kind]):.2f} MB/s" for kind in speeds)
        yield ("`prepare`, two workers", ours, f"`encode_batch`, {theirs}", *cells), met
        batches = [data.time_batches(folder / "data_0", workers=2) for _ in range(3)]
        median, met = float(np.median(batches)), min(batches) >= LEAST_BATCHES
        low, high = min(batches), max(batches)
        yield (
            (
                "masking and batching, two workers",
                f"{median:.2f} M tokens/s ({low:.2f}-{high:.2f})",
                *("", "", ""),
                f">= {LEAST_BATCHES} M tokens/s",
                "met" if met else "MISSED",
            ),
            met,
        )


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    options = parse()
    backends = [options.backend] if options.backend else list(BACKENDS)
    speeds = {backend: time_trainers(backend, options.repeats) for backend in backends}
    tables: list[tuple[tuple[str, ...], list[Any]]] = [(HEADER, list(training_rows(speeds)))]
    if not options.skip_data:
        tables.append((DATA_HEADER, list(data_rows(options.megabytes, 3))))
    text = "\n\n".join(table(header, [cells for cells, _ in rows]) for header, rows in tables)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", "utf-8")
    if options.json:
        options.json.write_text(json.dumps(speeds, indent=2) + "\n", "utf-8")
    return 0 if all(met for _, rows in tables for _, met in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
