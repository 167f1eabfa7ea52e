"""Command line of the benchmarks: `python -m tests.bench`."""

import argparse
import dataclasses
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import report
from tests.bench.competitors import ensure
from tests.bench.subjects import KZOO, SUBJECTS, Subject
from tests.bench.timing import measure

PRESET = "minilm_l6_v2"
PACKAGES = (
    "keras",
    "tensorflow",
    "torch",
    "ai-edge-litert",
    "onnxruntime",
    "keras-hub",
    "transformers",
)
MAKERS = {"tflite": "kerashub", "onnx": "huggingface"}
EPILOG = """\
examples:
  python -m tests.bench                              all files, 50 timed runs each
  python -m tests.bench --format tflite --repeats 200
  python -m tests.bench --json bench.json --markdown bench.md

The exit code is 0 if every target is met, 1 if one is missed, 2 if a file is broken.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Words after the program's name; those of this process if `None`.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Time kzoo's exported MiniLM against the usual exporters' files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--repeats", type=int, default=50, help="timed runs a file (default: 50)")
    add("--threads", type=int, default=2, help="threads of each runtime (default: 2)")
    add("--length", type=int, default=128, help="sequence length (default: 128)")
    add("--texts", type=int, default=32, help="sentences that are run and checked (default: 32)")
    add("--format", choices=tuple(MAKERS), help="only this format (default: both)")
    add("--folder", type=Path, default=Path(".bench"), help="where files go (default: .bench)")
    add("--json", type=Path, metavar="FILE", help="write the numbers here")
    add("--markdown", type=Path, metavar="FILE", help="write the tables here")
    return parser.parse_args(arguments)


def say(message: str, fraction: float | None = None) -> None:
    """Tell the person at the terminal what is going on.

    Args:
        message: What.
        fraction: How far it is, for work that counts.
    """
    if fraction is None:
        print(message, file=sys.stderr, flush=True)
    elif sys.stderr.isatty():
        end = "\n" if fraction >= 1 else "\r"
        print(f"{message} {fraction:4.0%}", end=end, file=sys.stderr, flush=True)


def export_ours(
    subjects: list[Subject], folder: Path, options: argparse.Namespace
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Export kzoo's files and compute what all files should answer.

    Args:
        subjects: The files of ours to make.
        folder: Where they go.
        options: The command line.

    Returns:
        The batch of sentences, and the float model's embeddings of them.
    """
    import kzoo
    from kzoo.data import sample_texts
    from kzoo_export import RECIPES, Recipe, Tolerance, export_all

    model = kzoo.load(PRESET)
    batch = kzoo.load_tokenizer(PRESET)(sample_texts()[: options.texts], length=options.length)
    # All makers' files are judged alike, by their sentence embeddings, so the exporter's own bounds
    # on every token are opened here: they would end the run over a thousandth.
    lenient = Tolerance(cosine_mean=0.99, cosine_min=0.9, max_abs=1.0, agreement=0.0)
    targets: dict[str | Path, str | Recipe] = {
        folder / subject.file: dataclasses.replace(RECIPES[subject.recipe], tolerance=lenient)
        for subject in subjects
    }
    export_all(model, targets, length=options.length, samples=batch)
    hidden = np.asarray(model.predict(batch, batch_size=8, verbose=0)["hidden"])
    return batch, report.pooled(hidden, batch["padding_mask"])


def environment(options: argparse.Namespace) -> dict[str, Any]:
    """Describe the conditions of the run.

    Args:
        options: The command line.

    Returns:
        Settings, machine and versions.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "preset": PRESET,
        "length": options.length,
        "texts": options.texts,
        "threads": options.threads,
        "processor": f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def run(options: argparse.Namespace) -> int:
    """Build, check, time and report.

    Args:
        options: The command line.

    Returns:
        The exit code.
    """
    folder = options.folder / f"length{options.length}"
    formats = [options.format] if options.format else list(MAKERS)
    subjects = [subject for subject in SUBJECTS.values() if subject.format in formats]
    for maker in (MAKERS[name] for name in formats):
        say(f"Building the files of {maker} (kept for the next run) ...")
        ensure(maker, folder, options.length)
    say("Exporting ours ...")
    batch, reference = export_ours([each for each in subjects if each in KZOO], folder, options)
    measurements = measure(
        subjects,
        folder,
        batch,
        threads=options.threads,
        repeats=options.repeats,
        progress=lambda fraction: say("Timing", fraction),
    )
    rows = [report.row(each, reference, batch["padding_mask"]) for each in measurements]
    comparisons = report.compare(measurements)
    facts = environment(options)
    print(report.to_markdown(facts, rows, comparisons), end="")
    if options.markdown:
        options.markdown.write_text(report.to_markdown(facts, rows, comparisons), encoding="utf-8")
    if options.json:
        numbers = json.dumps(report.to_dict(facts, rows, comparisons), indent=2)
        options.json.write_text(numbers + "\n", encoding="utf-8")
    broken = [each.name for each in rows if not each.intact]
    if broken:
        say(f"These files do not answer as the float model does: {', '.join(broken)}")
        return 2
    return 0 if all(each.met for each in comparisons) else 1


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(run(parse()))
