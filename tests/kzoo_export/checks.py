"""The contract of an exported file."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo_export import RECIPES, Report
from kzoo_export.artifact.compare import compare
from kzoo_export.artifact.files import inspect, load
from kzoo_export.artifact.report import Inspection
from kzoo_export.samples import Samples
from kzoo_export.source.prepare import prepare
from kzoo_export.target import formats_of

# What TFLite and ONNX add around the weights: the graph itself, which is all there is of a tiny
# model. So only a weight's own dtype is checked here; sizes are checked on a real model.
INT8 = ("int8", "uint8")


def check_export(report: Report, model: keras.Model, samples: dict[str, np.ndarray]) -> None:
    """Prove that the file under its final name is what its report says.

    Args:
        report: What `export` returned.
        model: The model that was exported.
        samples: Arrays by input name that the export never saw.
    """
    path, recipe = Path(report.path), report.recipe
    check_written(report)
    assert check_file(path) == report.inspection
    for dtype in recipe.required_dtypes or {"float32"}:
        stored = INT8 if dtype == "int8" else (dtype,)
        assert sum(report.inspection.weight_bytes.get(each, 0) for each in stored) > 0
    runner = load(path, threads=1)
    unseen = Samples(samples, "unseen")
    source = prepare(model)
    signature = source.declare(runner.inputs, runner.outputs)
    trials = source.trials(runner.inputs, unseen)
    again = compare(runner, trials, recipe, signature)
    assert again.passed, str(again)
    assert report.verification.passed


def recipes_of(format: str) -> list[str]:
    """List the recipes that a format has."""
    return [name for name, recipe in RECIPES.items() if format in formats_of(recipe)]


def check_file(path: Path) -> Inspection:
    """The file is static, needs nothing outside its format, and loads with the signature it has."""
    inspection = inspect(path)
    assert inspection.static
    if path.suffix == ".tflite":
        assert inspection.custom_ops == ()
    runner = load(path, threads=1)
    assert runner.inputs == inspection.inputs
    assert runner.outputs == inspection.outputs
    return inspection


def check_written(report: Report) -> None:
    """The file and both forms of its report are in place, and nothing else is."""
    path = Path(report.path)
    assert path.stat().st_size == report.size
    beside = json.loads(Path(f"{path}.report.json").read_text())
    assert beside == json.loads(json.dumps(report.to_dict()))
    assert beside["verification"]["passed"]
    assert report.recipe.name in Path(f"{path}.report.md").read_text()
    assert not list(path.parent.glob(".*.partial"))


def check_nothing_left(folder: Path, *kept: Any) -> None:
    """A failed export leaves its folder as it was."""
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(map(str, kept))
