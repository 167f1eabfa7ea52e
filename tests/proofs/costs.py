"""What exports cost: time and peak memory, of MiniLM and of large models with random weights.

Every file is made and verified in a process of its own, on real texts. The memory is what that
process and its children hold together, shared pages divided. A cell is done once its `.json` is in
the folder.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

LENGTH = 128
CALIBRATING, VERIFYING = 64, 16
FORMATS = ("tflite", "onnx")
SCANNED = "static_int8_scanned"
RECIPES = ("float32", "dynamic_int8", "weight_int4", "static_int8", SCANNED)
POLLING_SECONDS = 0.5
# Prints the facts of one export as the last line.
EXPORT = """
import json, sys, time
import kzoo
from kzoo.data import sample_texts
from kzoo_export import export
from tests.proofs.costs import recipes
preset, path, recipe, calibrating, verifying, length = *sys.argv[1:4], *map(int, sys.argv[4:])
model = kzoo.load(preset, weights="random") if preset != "minilm_l6_v2" else kzoo.load(preset)
texts = sample_texts()[: calibrating + verifying]
batch = dict(kzoo.load_tokenizer("minilm_l6_v2")(texts, length=length))
rows = {name: array[calibrating:] for name, array in batch.items()}
others = {name: array[:calibrating] for name, array in batch.items()}
start = time.perf_counter()
report = export(model, path, recipes()[recipe], length=length, samples=rows, calibration=others)
facts = {
    "export": time.perf_counter() - start,
    "seconds": dict(report.seconds),
    "size": report.size,
    "cosine": min(output.cosine_min for output in report.verification.outputs),
}
print(json.dumps(facts))
"""


class Bound(NamedTuple):
    """What an export may cost: minutes without and with calibration, and GB."""

    minutes: float
    calibrated_minutes: float
    gigabytes: float


NO_BOUND = Bound(float("inf"), float("inf"), float("inf"))
BOUNDS = {"bert_base": Bound(5, 15, 6)}


def run(
    folder: Path,
    presets: Sequence[str] = ("minilm_l6_v2", "bert_base", "bert_large"),
    names: Sequence[str] = RECIPES,
    formats: Sequence[str] = FORMATS,
    length: int = LENGTH,
) -> bool:
    """Make what is not done yet, print a table, and say whether every bound holds."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(title=f"Exports, {length} tokens, {CALIBRATING} texts to calibrate on")
    table.caption = "scan: the share of the time that finds which layers need more bits"
    table.add_column("export", no_wrap=True)
    for column in ("MB", "min cosine", "s", "peak GB", "scan"):
        table.add_column(column, justify="right", no_wrap=True)
    met = True
    for preset, format, recipe in cells(presets, names, formats):
        answer = folder / f"{preset}_{format}_{recipe}_{length}.json"
        if not answer.is_file():
            answer.write_text(json.dumps(measure(folder, preset, format, recipe, length), indent=2))
        facts = json.loads(answer.read_text())
        met &= holds(facts, BOUNDS.get(preset, NO_BOUND), recipe)
        title = f"{preset}, {format}, {recipe}"
        if "error" in facts:
            table.add_row(title, facts["error"][-60:])
            continue
        table.add_row(
            title,
            f"{facts['size'] / 1e6:.1f}",
            f"{facts['cosine']:.4f}",
            f"{facts['export']:.0f}",
            f"{facts['peak'] / 1e9:.1f}",
            f"{facts['seconds'].get('scan', 0.0) / facts['export']:.0%}",
        )
    Console(width=110).print(table)
    return met


def cells(
    presets: Sequence[str], names: Sequence[str], formats: Sequence[str]
) -> list[tuple[str, str, str]]:
    """List what is made: a model, a format and a recipe."""
    from kzoo_export.target import formats_of

    return [
        (preset, format, recipe.name)
        for preset in presets
        for format in formats
        for recipe in (recipes()[name] for name in names)
        if format in formats_of(recipe)
        # Not all of an ONNX file can keep float activations; of others there is no bound.
        if recipe.name != SCANNED or (preset in BOUNDS and format == "tflite")
    ]


def recipes() -> dict[str, Any]:
    """List the recipes, and one whose scan ends nowhere: random weights lose next to nothing."""
    from kzoo_export import RECIPES

    scanned = dataclasses.replace(RECIPES["static_int8"], name=SCANNED, max_loss=0.0)
    return {**RECIPES, SCANNED: scanned}


def holds(facts: dict[str, Any], bound: Bound, recipe: str) -> bool:
    """Say whether a file was made within the bounds."""
    if "error" in facts:
        return False
    minutes = bound.calibrated_minutes if recipes()[recipe].calibrates else bound.minutes
    return facts["export"] <= 60 * minutes and facts["peak"] <= 1e9 * bound.gigabytes


def measure(folder: Path, preset: str, format: str, recipe: str, length: int) -> dict[str, Any]:
    """Export in a process of its own, and follow the memory that it and its children hold."""
    print(f"{preset} {format} {recipe} ...", flush=True)
    path = folder / f"made.{format}"
    arguments = [preset, path, recipe, CALIBRATING, VERIFYING, length]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.setdefault("KERAS_BACKEND", "jax")
    log = folder / "log.txt"
    with log.open("w") as stream:
        child = psutil.Popen(
            [sys.executable, "-c", EXPORT, *map(str, arguments)],
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while child.poll() is None:
            peak = max(peak, memory_of(child))
            time.sleep(POLLING_SECONDS)
    lines = log.read_text().splitlines()
    if child.returncode:
        return {"error": "\n".join(lines[-20:]), "peak": peak}
    return {**json.loads(lines[-1]), "peak": peak}


def memory_of(process: Any) -> int:
    """Add up the memory of a process and its children; pages that several share count once."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.Error:  # It has ended.
            continue
    return total
