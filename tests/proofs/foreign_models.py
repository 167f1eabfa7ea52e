"""Models of Keras and KerasHub through the exporter, in every format, from every backend.

A subject is done once its `results.json` is in the folder; a run that was interrupted goes on with
the next one.
"""

import concurrent.futures
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from kzoo_export.artifact.document import open_table
from tests.proofs.models import RECIPES, SUBJECTS, Samples

BACKENDS = ("tensorflow", "jax", "torch")
FORMATS = ("tflite", "onnx")
KEYS = ("backend", "format", "recipe")
# Largest difference of float32 files from different backends, of the largest output.
SAME = 1e-4
# Outputs of different images are less alike than this once their mean is taken off.
ALIKE = 0.9


def run(folder: Path, names: tuple[str, ...] = tuple(SUBJECTS), toy: bool = False) -> bool:
    """Export every subject that is not done yet, and print the table."""
    console = Console()
    for name in names:
        place = folder / name.replace(" ", "_")
        if not (place / "results.json").is_file():
            place.mkdir(parents=True, exist_ok=True)
            console.print(f"{name} ...")
            (place / "results.json").write_text(json.dumps(measure(name, place, toy), indent=2))
    results = {
        name: json.loads((folder / name.replace(" ", "_") / "results.json").read_text())
        for name in names
    }
    console.print(table(results))
    return all(row["passed"] for rows in results.values() for row in rows)


def measure(name: str, folder: Path, toy: bool) -> list[dict[str, Any]]:
    """Export one subject from every backend, a toy from one; the first one makes all recipes."""
    first, *others = BACKENDS[:1] if toy else BACKENDS
    rows = export_from(first, name, folder, toy)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for found in pool.map(lambda other: export_from(other, name, folder, toy), others):
            rows += found
    return rows


def export_from(backend: str, name: str, folder: Path, toy: bool) -> list[dict[str, Any]]:
    """Export one subject in a process with a backend."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "tests.proofs.foreign_models", name, str(folder)]
    done = subprocess.run(
        [*command, "toy"] if toy else command,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    answer = folder / f"{backend}.json"
    if done.returncode or not answer.is_file():
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return [{"backend": backend, "passed": False, "reason": lines[-1][:300]}]
    seconds = round(time.perf_counter() - start)
    return [{**row, "seconds": seconds} for row in json.loads(answer.read_text())]


def export_here(name: str, folder: Path, toy: bool) -> None:
    """Export a subject from the backend of this process."""
    import keras

    backend = keras.backend.backend()
    subject = SUBJECTS[name]
    size = subject.toy if toy else subject.size
    first = backend == BACKENDS[0]
    if first:
        model = subject.build(size)
        model.save(folder / "model.keras")
    else:
        # Its layers are in the file.
        importlib.import_module("keras_hub")
        model = keras.saving.load_model(folder / "model.keras", compile=False)
    samples = subject.samples(model, size)
    length = size if subject.has_length else None
    recipes = subject.recipes if first else ("float32",)
    rows = [
        row
        for format in FORMATS
        for row in export_format(model, samples, folder, format, recipes, length)
    ]
    (folder / f"{backend}.json").write_text(json.dumps(rows))


def export_format(
    model: Any,
    samples: Samples,
    folder: Path,
    format: str,
    recipes: tuple[str, ...],
    length: int | None,
) -> list[dict[str, Any]]:
    """Export the recipes of one format together or, where that fails, each alone."""
    import keras

    from kzoo_export import export_all

    backend = keras.backend.backend()
    targets = {folder / f"{backend}_{recipe}.{format}": recipe for recipe in recipes}
    try:
        reports = export_all(model, targets, samples=samples, length=length or ...)
    except Exception as error:
        if len(recipes) > 1:
            alone = (
                export_format(model, samples, folder, format, (recipe,), length)
                for recipe in recipes
            )
            return [row for rows in alone for row in rows]
        reason = f"{type(error).__name__}: {error}"[:2000]
        facts = {"backend": backend, "format": format, "recipe": recipes[0]}
        return [{**facts, "passed": False, "reason": reason}]
    return [describe(report, backend, samples) for report in reports]


def describe(report: Any, backend: str, samples: Samples) -> dict[str, Any]:
    """Gather what the table says of a file; float32 files are compared with the first backend's."""
    outputs, path = report.verification.outputs, Path(report.path)
    row = {
        "backend": backend,
        "format": report.format,
        "recipe": report.recipe.name,
        "passed": True,
        "ratio": report.ratio,
        "cosine": min(output.cosine_mean for output in outputs),
        "min": min(output.cosine_min for output in outputs),
        "ms": report.latency.median,
        "warnings": list(report.warnings),
    }
    if report.recipe.name == "float32":
        row["alike"] = likeness(path, samples)
        row["difference"] = difference(
            path.with_name(path.name.replace(backend, BACKENDS[0])), path, samples
        )
        row["passed"] = row["difference"] <= SAME and row["alike"] < ALIKE
    return row


def outputs_of(path: Path, samples: Samples) -> dict[str, np.ndarray]:
    """Run a file on samples."""
    from kzoo_export.artifact.files import load, run_batches

    runner = load(path)
    if isinstance(samples, np.ndarray):
        samples = {runner.inputs[0].name: samples}
    return run_batches(runner, samples)


def likeness(path: Path, samples: Samples) -> float:
    """Largest cosine of the outputs of two different samples, their mean taken off."""
    output = next(iter(outputs_of(path, samples).values()))
    rows = output.reshape(len(output), -1)
    rows = rows - rows.mean(axis=0)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return float((rows @ rows.T - 2 * np.eye(len(rows))).max())


def difference(first: Path, second: Path, samples: Samples) -> float:
    """Largest difference of two files, relative to the largest output."""
    one, other = (outputs_of(path, samples) for path in (first, second))
    return max(
        float(np.abs(other[name] - array).max() / np.abs(array).max())
        for name, array in one.items()
    )


def table(results: dict[str, list[dict[str, Any]]]) -> Table:
    """Lay out one line for each model and format, and what was refused below."""
    found = open_table("Models of other libraries")
    for column in ("model", "format"):
        found.add_column(column, no_wrap=True)
    for column in (*RECIPES, "ratio", "diff", "alike"):
        found.add_column(column, justify="right", no_wrap=True)
    reasons = []
    for name, rows in results.items():
        reasons += [
            f"{name}, {', '.join(filter(None, map(row.get, KEYS)))}: {row['reason']}"
            for row in rows
            if "reason" in row
        ]
        for format in FORMATS:
            found.add_row(name, format, *cells([x for x in rows if x.get("format") == format]))
    found.caption = "\n".join(
        [
            "recipes: least cosine of a row to the model; ratio: dynamic_int8 against the",
            "float32 weights; diff: between the float32 files from the three backends;",
            "alike: largest cosine of the outputs of different samples, centered",
            *reasons,
        ]
    )
    return found


def cells(rows: list[dict[str, Any]]) -> list[str]:
    """Fill the line of one model and format."""
    first = {row["recipe"]: row for row in rows if row["backend"] == BACKENDS[0]}
    least = [first.get(recipe, {"min": None}) for recipe in RECIPES]
    shown = [
        "refused" if "min" not in row else "" if row["min"] is None else f"{row['min']:.5f}"
        for row in least
    ]
    differences = [row["difference"] for row in rows if "difference" in row]
    ratio = first.get(RECIPES[-1], {}).get("ratio")
    alike = first.get("float32", {}).get("alike")
    return [
        *shown,
        "" if ratio is None else f"{ratio:.3f}",
        f"{max(differences):.0e}" if differences else "",
        "" if alike is None else f"{alike:.2f}",
    ]


if __name__ == "__main__":
    export_here(sys.argv[1], Path(sys.argv[2]), "toy" in sys.argv[3:])
