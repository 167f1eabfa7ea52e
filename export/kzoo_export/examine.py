"""Examine a file before it gets its final name: inspect, verify, time, report."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from kzoo_export import artefact, bench
from kzoo_export.calibration import Samples
from kzoo_export.recipe import Recipe, RecipeError
from kzoo_export.report import Inspection, Latency, Report, VerificationError
from kzoo_export.spec import ExportError, Spec, format_of
from kzoo_export.verify import compare
from kzoo_export.versions import versions

_THREADS = 2
_REPEATS = 30
# Seconds after which timing a slow model stops.
_TIMING_LIMIT = 10.0
# Share of weight bytes that may stay float32 in a smaller file without a warning.
_LEFT_FLOAT = 0.1


@dataclasses.dataclass(frozen=True)
class Target:
    """One file to make."""

    path: Path
    recipe: Recipe
    route: str

    @property
    def format(self) -> str:
        """The format its suffix says."""
        return format_of(self.path)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the files are judged by: samples, and the model's outputs on them.

    `trained_in` is the half-precision policy of a model whose float32 form is the reference.
    """

    verifying: Samples
    calibrating: Samples | None
    reference: Mapping[str, np.ndarray]
    seconds: float
    trained_in: str | None = None


@dataclasses.dataclass(frozen=True)
class Made:
    """A file in the working folder, not verified yet."""

    target: Target
    made: Path
    spec: Spec
    seconds: Mapping[str, float]


def check_contents(inspection: Inspection, spec: Spec, recipe: Recipe, float_size: int) -> None:
    """Refuse a file that is not what was asked for.

    Args:
        inspection: What is in the file.
        spec: What it must be.
        recipe: How its numbers must be stored.
        float_size: Bytes of the model's weights as float32.

    Raises:
        ExportError: If its signature is another one or dynamic, or it needs custom operations.
        RecipeError: If the recipe changed nothing.
    """
    if (inspection.inputs, inspection.outputs) != (spec.inputs, spec.outputs):
        raise ExportError(
            f"The file has another signature than its model: {inspection.inputs} -> "
            f"{inspection.outputs} instead of {spec.inputs} -> {spec.outputs}"
        )
    if not inspection.static:
        raise ExportError("The file has dynamic shapes, which accelerators refuse")
    if inspection.custom_ops and (spec.portable or spec.format == "tflite"):
        raise ExportError(f"The file needs custom operations: {', '.join(inspection.custom_ops)}")
    stored = ("int8", "uint8") if recipe.weights == "int8" else (recipe.weights,)
    if recipe.weights != "float32" and not any(inspection.weight_bytes.get(d) for d in stored):
        raise RecipeError(
            f"The recipe {recipe.name!r} changed nothing: no weight of the file is stored as "
            f"{recipe.weights}. Weights by dtype: {dict(inspection.weight_bytes)} bytes. Very "
            "small matrices are left as they are"
        )
    if recipe.weights != "float32" and sum(inspection.weight_bytes.values()) >= float_size:
        raise RecipeError(
            f"The recipe {recipe.name!r} made nothing smaller than the {float_size} bytes of the "
            f"float32 weights. Weights by dtype: {dict(inspection.weight_bytes)} bytes"
        )


def examine(model: keras.Model, file: Made, evidence: Evidence, seed: int) -> Report:
    """Inspect, verify and time one file.

    Args:
        model: The model it was made of.
        file: The file, in the working folder.
        evidence: What it is judged by.
        seed: Seed of the export, for the report.

    Returns:
        What was measured.

    Raises:
        VerificationError: If the file is further from the model than its recipe allows.
    """
    recipe = file.target.recipe
    inspection = artefact.inspect(file.made)
    size, float_size = file.made.stat().st_size, 4 * model.count_params()
    check_contents(inspection, file.spec, recipe, float_size)
    start = time.perf_counter()
    runner = artefact.load(file.made, threads=_THREADS)
    verification = compare(runner, evidence.verifying, evidence.reference, recipe)
    if not verification.passed:
        raise VerificationError(file.target.path.name, verification)
    verified = time.perf_counter() - start
    calibrated = evidence.calibrating if file.spec.format in recipe.calibrated else None
    return Report(
        path=str(file.target.path),
        format=file.spec.format,
        recipe=recipe.name,
        route=file.spec.route,
        portable=file.spec.portable,
        size=size,
        float_size=float_size,
        ratio=round(size / max(float_size, 1), 5),
        verification=verification,
        inspection=inspection,
        latency=_time(runner, evidence.verifying),
        samples=evidence.verifying.source,
        calibration=calibrated.source if calibrated else None,
        seed=seed,
        seconds=_seconds(file, evidence, verified),
        versions=versions(file.spec.route),
        warnings=_warnings(inspection, recipe, evidence),
    )


def _time(runner: artefact.Runner, samples: Samples) -> Latency:
    """Time single calls on the first batch, fewer of them for a slow model."""
    batch = next(artefact.batches(samples.arrays, runner.inputs[0].shape[0]))
    first = bench.time_calls(runner, batch, 1)
    repeats = int(np.clip(_TIMING_LIMIT * 1e3 / first[0], 3, _REPEATS))
    return bench.summarize(bench.time_calls(runner, batch, repeats), _THREADS)


def _seconds(file: Made, evidence: Evidence, verified: float) -> dict[str, float]:
    """Gather the time of every step that this file needed."""
    shared = {step: file.seconds[step] for step in ("start", "load", "lower")}
    own = {file.target.recipe.name: file.seconds[file.target.recipe.name]}
    steps = {"reference": evidence.seconds, **shared, **own, "verify": verified}
    return {step: round(seconds, 3) for step, seconds in steps.items()}


def _warnings(inspection: Inspection, recipe: Recipe, evidence: Evidence) -> tuple[str, ...]:
    """Say what a user should know before shipping the file."""
    warnings = []
    if evidence.trained_in:
        warnings.append(
            f"the model computes in {evidence.trained_in}; the reference is its float32 form"
        )
    total = sum(inspection.weight_bytes.values())
    left = inspection.weight_bytes.get("float32", 0)
    if recipe.weights != "float32" and left > _LEFT_FLOAT * total:
        warnings.append(f"{left / total:.0%} of the weight bytes stayed float32")
    return tuple(warnings)
