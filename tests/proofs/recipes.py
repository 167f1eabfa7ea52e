"""Every recipe on MiniLM: 128 texts that nothing was calibrated on, and the sentence vectors.

The float files are kzoo's in both formats, KerasHub's (whose masks are -1e9), litert-torch's and
Hugging Face's, fused by ONNX Runtime's optimizer. Each is quantized by `kzoo_export.quantize`, with
other texts to calibrate on: 64 for scales, 128 for the rounding of weights. Other tools quantize
with the same texts. A cell is done once its `.json` is in the folder.
"""

import functools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.proofs.others import CALIBRATION, ORIGINS, PEERS, feeds, float_file
from tests.proofs.probes import LENGTH, PRESET

SCALED, ROUNDED, HELD_OUT = 64, 128, 128
REPEATS = 20
FOREIGN_RECIPES = ("dynamic_int8", "static_int16x8", "weight_int4")
KERASHUB_RECIPES = (*FOREIGN_RECIPES, "static_int8", "static_int8_strict")
STEPS = ("quantize", "calibrate", "round", "scan")
# Products of 8 bits, as each format has them.
INT8 = ("int8", "int8 x uint8")


class Goal(NamedTuple):
    """The cosine of sentence vectors to those of the float file, mean and least, the share of texts
    whose nearest other text stays the same, and of multiply-adds in int8 x int8."""

    mean: float
    least: float
    nearest: float = 0.0
    int8: float = 0.0


NO_GOAL = Goal(0.0, 0.0)
GOALS = {
    "weight_int4": Goal(0.970, 0.957),
    "weight_int4_mixed": Goal(0.990, 0.985),
    "static_int16x8": Goal(0.998, 0.995, 0.95),
    "static_int8": Goal(0.993, 0.986, 0.92, 0.65),
    "static_int8_strict": Goal(0.983, 0.970, 0.88, 0.95),
}
# Its products in attention stay float.
ONNX_GOALS = GOALS | {"static_int8": Goal(0.990, 0.980, 0.0, 0.65)}
KERASHUB_GOALS = {"static_int16x8": Goal(0.997, 0.0), "static_int8": Goal(0.985, 0.0)}


class Cell(NamedTuple):
    """A file to make: of which float file, by which tool, and how."""

    origin: str
    format: str
    tool: str
    recipe: str

    @property
    def name(self) -> str:
        """How its answer is called."""
        return "_".join(self).replace(" ", "_")

    @property
    def goal(self) -> Goal:
        """What it must reach."""
        if self.tool != "kzoo":
            return NO_GOAL
        if self.origin == "kzoo":
            goals = ONNX_GOALS if self.format == "onnx" else GOALS
        else:
            goals = KERASHUB_GOALS if self.origin == "KerasHub" else {}
        return goals.get(self.recipe, NO_GOAL)


def run(folder: Path, count: int = HELD_OUT, names: tuple[str, ...] | None = None) -> bool:
    """Make and judge every file that is not done yet, print a table, and say whether all is met."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(title=f"MiniLM, {LENGTH} tokens, {count} texts")
    for column in ("float file", "tool", "recipe"):
        table.add_column(column, no_wrap=True)
    for column in ("MB", "ratio", "cosine", "min", "nearest", "int8", "made in s", "x float"):
        table.add_column(column, justify="right", no_wrap=True)
    table.caption = "x float: latency against the float32 file of kzoo, in turns with it"
    met = True
    for cell in cells(names):
        answer = folder / f"{cell.name}_{count}.json"
        if not answer.is_file():
            answer.write_text(json.dumps(judge(folder, cell, count), indent=2))
        facts = json.loads(answer.read_text())
        met &= "refused" not in facts and all(
            facts[name] >= bound for name, bound in cell.goal._asdict().items()
        )
        table.add_row(f"{cell.origin}, {cell.format}", cell.tool, cell.recipe, *_shown(facts))
    Console(width=150).print(table)
    return met


def _shown(facts: dict[str, Any]) -> list[str]:
    """Write the facts of a cell."""
    if "refused" in facts:
        return [facts["refused"][:60]]
    return [
        f"{facts['size'] / 1e6:.1f}",
        f"{facts['ratio']:.3f}",
        f"{facts['mean']:.5f}",
        f"{facts['least']:.5f}",
        f"{facts['nearest']:.3f}",
        f"{facts['int8']:.0%}",
        f"{facts['seconds']:.0f}",
        f"{facts['latency_ratio']:.2f}",
    ]


def cells(names: tuple[str, ...] | None) -> list[Cell]:
    """List what is made."""
    from kzoo_export import RECIPES
    from kzoo_export.target import formats_of

    chosen = [recipe.name for recipe in RECIPES.values() if recipe.smaller_dtypes]
    recipes = {"kzoo": tuple(chosen), "KerasHub": KERASHUB_RECIPES}
    own = [
        Cell(origin, format, "kzoo", recipe)
        for origin, facts in ORIGINS.items()
        for format in facts.formats
        for recipe in recipes.get(origin, FOREIGN_RECIPES)
        if format in formats_of(RECIPES[recipe])
    ]
    others = [Cell(peer.origin, peer.format, peer.tool, peer.recipe) for peer in PEERS.values()]
    return [cell for cell in (*own, *others) if names is None or cell.name in names]


@functools.cache
def batches(calibrated: int, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw texts to calibrate on and others that are held out, as inputs."""
    import kzoo
    from kzoo.data import sample_texts

    available = sample_texts()
    order = np.random.default_rng(0).permutation(len(available))
    tokenizer = kzoo.load_tokenizer(PRESET)

    def inputs(start: int, stop: int) -> dict[str, np.ndarray]:
        return dict(tokenizer([available[i] for i in order[start:stop]], length=LENGTH))

    return inputs(0, calibrated), inputs(ROUNDED, ROUNDED + count)


def judge(folder: Path, cell: Cell, count: int) -> dict[str, Any]:
    """Make a file, and compare its sentence vectors with those of its float file."""
    from kzoo_export import ExportError, benchmark, inspect

    print(f"{', '.join(cell)} ...", flush=True)
    source = float_file(folder, cell.origin, cell.format)
    path = folder / f"{cell.name}.{cell.format}"
    try:
        seconds = make(folder, cell, source, path, count)
    except ExportError as error:
        return {"refused": str(error)}
    held_out = batches(SCALED, count)[1]
    expected, vectors = (embed(each, cell.origin, held_out) for each in (source, path))
    cosines = (vectors * expected).sum(axis=1)
    products = inspect(path).multiply_adds
    yardstick = float_file(folder, "kzoo", cell.format)
    times = list(benchmark([yardstick, path], repeats=REPEATS).latencies.values())
    return {
        "size": path.stat().st_size,
        "ratio": path.stat().st_size / sum(inspect(source).weight_bytes.values()),
        "mean": float(cosines.mean()),
        "least": float(cosines.min()),
        "nearest": float((nearest(vectors) == nearest(expected)).mean()),
        "int8": sum(products.get(words, 0) for words in INT8) / max(sum(products.values()), 1),
        "seconds": seconds,
        "latency_ratio": times[1].median / times[0].median,
    }


def make(folder: Path, cell: Cell, source: Path, path: Path, count: int) -> float:
    """Quantize a float file, and return the seconds that it took."""
    from kzoo_export import RECIPES, quantize

    if cell.tool != "kzoo":
        arrays: dict[str, Any] = batches(SCALED, count)[0]
        np.savez(folder / CALIBRATION, **arrays)
        start = time.perf_counter()
        PEERS[f"{cell.tool} {cell.recipe}"].make(folder, path)
        return time.perf_counter() - start
    rows = batches(SCALED if RECIPES[cell.recipe].is_static else ROUNDED, count)
    calibration, held_out = (feeds(cell.origin, batch) for batch in rows)
    facts = ORIGINS[cell.origin]
    kinds = {
        facts.inputs["padding_mask"]: "mask",
        facts.inputs["token_ids"]: "token_ids",
        facts.hidden: "hidden_states",
    }
    few = {name: array[:8] for name, array in held_out.items()}
    report = quantize(source, path, cell.recipe, samples=few, calibration=calibration, kinds=kinds)
    return sum(report.seconds.get(step, 0.0) for step in STEPS)


def embed(path: Path, origin: str, batch: dict[str, np.ndarray]) -> np.ndarray:
    """Make the sentence vectors of a file."""
    from kzoo_export.artifact.files import load, run_batches
    from tests.bench.report import pooled

    outputs = run_batches(load(path, threads=2), feeds(origin, batch))
    return pooled(outputs[ORIGINS[origin].hidden], batch["padding_mask"])


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Find the nearest of the other texts."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    return np.asarray(similar.argmax(axis=1))
