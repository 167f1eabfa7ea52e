"""Every recipe on MiniLM: 128 texts that nothing was calibrated on, and the sentence vectors.

The float files are kzoo's in both formats and the one that Keras writes of KerasHub's MiniLM, whose
masks are -1e9. Each is quantized by `kzoo_export.quantize`, with other texts to calibrate on: 64
for scales, 128 for the rounding of weights. A cell is done once its `.json` is in the folder.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.proofs.probes import LENGTH, PRESET

SCALED, ROUNDED, HELD_OUT = 64, 128, 128
FORMATS = ("tflite", "onnx")
KINDS = {"padding_mask": "mask", "token_ids": "token_ids"}
# What each float file calls its hidden states.
HIDDEN = {"kzoo": "hidden", "KerasHub": "sequence_output"}
KERASHUB_RECIPES = ("dynamic_int8", "static_int16x8", "static_int8", "static_int8_strict")
STEPS = ("quantize", "calibrate", "round", "scan")
# Products of 8 bits, as each format has them.
INT8 = ("int8", "int8 x uint8")
# KerasHub's own export is for TensorFlow.
EXPORT = """
import sys
import keras
import keras_hub
from tests.bench.competitors import weights_folder
model = keras_hub.models.BertBackbone.from_preset(str(weights_folder()))
names = ("token_ids", "segment_ids", "padding_mask")
inputs = [{each: keras.InputSpec(shape=(1, 128), dtype="int32", name=each) for each in names}]
model.export(sys.argv[1], format="litert", input_signature=inputs, verbose=False)
"""


class Goal(NamedTuple):
    """The cosine of sentence vectors to those of the float file, mean and least, the share of texts
    whose nearest other text stays the same, and of multiply-adds in int8 x int8."""

    mean: float
    least: float
    nearest: float = 0.0
    int8: float = 0.0


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


def run(folder: Path, count: int = HELD_OUT, names: tuple[str, ...] | None = None) -> bool:
    """Make and judge every file that is not done yet, print a table, and say whether all is met."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(title=f"MiniLM, {LENGTH} tokens, {count} texts")
    table.add_column("recipe", no_wrap=True)
    for column in ("MB", "ratio", "cosine", "min", "nearest", "int8", "made in s", "x float"):
        table.add_column(column, justify="right", no_wrap=True)
    met = True
    for origin, format, recipe in cells(names):
        answer = folder / f"{origin}_{format}_{recipe}_{count}.json"
        if not answer.is_file():
            found = judge(folder, origin, format, recipe, count)
            answer.write_text(json.dumps(found, indent=2))
        facts = json.loads(answer.read_text())
        goals = {"KerasHub": KERASHUB_GOALS, "kzoo": ONNX_GOALS if format == "onnx" else GOALS}
        goal = goals[origin].get(recipe, Goal(0.0, 0.0))
        met &= all(facts[name] >= bound for name, bound in goal._asdict().items())
        table.add_row(
            f"{origin}, {format}, {recipe}",
            f"{facts['size'] / 1e6:.1f}",
            f"{facts['ratio']:.3f}",
            f"{facts['mean']:.5f}",
            f"{facts['least']:.5f}",
            f"{facts['nearest']:.3f}",
            f"{facts['int8']:.0%}",
            f"{facts['seconds']:.0f}",
            f"{facts['latency_ratio']:.2f}",
        )
    Console(width=120).print(table)
    return met


def cells(names: tuple[str, ...] | None) -> list[tuple[str, str, str]]:
    """List what is made: a float file, a format and a recipe."""
    from kzoo_export import RECIPES
    from kzoo_export.target import formats_of

    chosen = [recipe for recipe in RECIPES.values() if recipe.smaller_dtypes]
    own = [
        ("kzoo", format, recipe.name)
        for format in FORMATS
        for recipe in chosen
        if format in formats_of(recipe)
    ]
    found = [*own, *(("KerasHub", "tflite", recipe) for recipe in KERASHUB_RECIPES)]
    return [cell for cell in found if names is None or "_".join(cell) in names]


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


def float_file(folder: Path, origin: str, format: str) -> Path:
    """Make a float file once."""
    path = folder / f"{origin}_float.{format}"
    if path.is_file():
        return path
    if origin == "KerasHub":
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        partial = path.with_suffix(".partial.tflite")
        subprocess.run([sys.executable, "-c", EXPORT, str(partial)], env=environment, check=True)
        partial.rename(path)
    else:
        import kzoo
        from kzoo_export import export

        export(kzoo.load(PRESET), path, length=LENGTH)
    return path


def judge(folder: Path, origin: str, format: str, recipe: str, count: int) -> dict[str, Any]:
    """Quantize a float file, and compare the sentence vectors of both on held-out texts."""
    from kzoo_export import RECIPES, quantize

    print(f"{origin} {format} {recipe} ...", flush=True)
    source = float_file(folder, origin, format)
    calibration, held_out = batches(SCALED if RECIPES[recipe].is_static else ROUNDED, count)
    few = {name: array[:8] for name, array in held_out.items()}
    kinds = {**KINDS, HIDDEN[origin]: "hidden_states"}
    path = folder / f"{origin}_{recipe}.{format}"
    report = quantize(source, path, recipe, samples=few, calibration=calibration, kinds=kinds)
    expected, vectors = (embed(each, HIDDEN[origin], held_out) for each in (source, path))
    cosines = (vectors * expected).sum(axis=1)
    products = report.inspection.multiply_adds
    return {
        "size": report.size,
        "ratio": report.ratio,
        "mean": float(cosines.mean()),
        "least": float(cosines.min()),
        "nearest": float((nearest(vectors) == nearest(expected)).mean()),
        "int8": sum(products.get(words, 0) for words in INT8) / max(sum(products.values()), 1),
        "seconds": sum(report.seconds.get(step, 0.0) for step in STEPS),
        "latency_ratio": report.latency_ratio,
    }


def embed(path: Path, output: str, batch: dict[str, np.ndarray]) -> np.ndarray:
    """Make the sentence vectors of a file."""
    from kzoo_export.artifact.files import load, run_batches
    from tests.bench.report import pooled

    return pooled(run_batches(load(path, threads=2), batch)[output], batch["padding_mask"])


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Find the nearest of the other texts."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    return np.asarray(similar.argmax(axis=1))
