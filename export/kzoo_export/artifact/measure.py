"""Measure a file before it gets its final name: inspect, run, compare, time."""

import dataclasses
import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kzoo_export.artifact.compare import compare
from kzoo_export.artifact.files import Runner, inspect, load
from kzoo_export.artifact.report import Inspection, Latency, Report, signature_text
from kzoo_export.errors import ExportError
from kzoo_export.recipe import Recipe
from kzoo_export.spec import Spec
from kzoo_export.trials import Trial, single_batch

_THREADS = 2
_REPEATS = 30
# A file and the float32 file take turns, so that both meet the same load of the machine.
_TURNS = 3
# A smaller file that takes this many times as long as the float32 file is worth a warning.
_SLOWER = 1.2
# Seconds after which timing a slow model stops.
_TIMING_LIMIT = 10.0
# Share of weight bytes that may stay float32 in a smaller file without a warning.
_LEFT_FLOAT = 0.1
# Calls that warm the caches, which are not timed.
_WARM_UP = 2
_DISTRIBUTIONS = {
    "tensorflow": ("tensorflow", "ai-edge-litert", "ai-edge-quantizer"),
    "torch": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "file": ("ai-edge-litert", "ai-edge-quantizer", "onnx", "onnxruntime"),
    "tf2onnx": ("tensorflow", "tf2onnx", "onnx", "onnxscript", "onnxruntime"),
}


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a file is measured against.

    Attributes:
        trials: What both the model and the file are run on, and the model's outputs.
        backend: The backend that computed them.
        float_size: Bytes of the model's weights as float32.
        seconds: How long they took.
        trained_in: The policy of a model whose float32 form is the reference, else `None`.
    """

    trials: tuple[Trial, ...]
    backend: str
    float_size: int
    seconds: float
    trained_in: str | None = None


@dataclasses.dataclass(frozen=True)
class Origin:
    """How a file was made: what its report says and nothing can measure.

    Attributes:
        path: The final name of the file.
        spec: What it must be.
        recipe: How its numbers are stored and computed.
        float32_file: The file that was quantized.
        float_bytes: Bytes of its weights.
        calibration: The samples that calibrated it, in words.
        seed: Seed of everything random.
        seconds: The time of each step.
        log: What the frameworks printed.
    """

    path: Path
    spec: Spec
    recipe: Recipe
    float32_file: Path
    float_bytes: int
    calibration: str | None
    seed: int
    seconds: Mapping[str, float]
    log: tuple[str, ...] = ()


def measure(file: Path, origin: Origin, reference: Reference) -> Report:
    """Inspect, compare and time one file. Its accuracy is reported, whatever it is.

    Args:
        file: The file, in the working folder.
        origin: How it was made.
        reference: What it is measured against.

    Returns:
        What was measured.

    Raises:
        ExportError: If the file cannot be loaded or run, has another signature than it must have,
            or dynamic shapes.
    """
    spec, recipe = origin.spec, origin.recipe
    inspection = inspect(file)
    check_signature(inspection, spec, recipe.float_io)
    start = time.perf_counter()
    runner = _load(file, spec.route)
    verification = compare(runner, reference.trials, recipe, spec.signature)
    seconds = {**origin.seconds, "verify": time.perf_counter() - start}
    size = file.stat().st_size
    compared = origin.float32_file if recipe.smaller_dtypes else None
    latency, against_float = _time(runner, reference.trials[0], compared)
    return Report(
        path=str(origin.path),
        format=spec.format,
        recipe=recipe,
        route=spec.route,
        portable=spec.portable,
        size=size,
        float_size=reference.float_size,
        float_bytes=origin.float_bytes,
        ratio=round(size / max(reference.float_size, 1), 5),
        verification=verification,
        inspection=inspection,
        latency=latency,
        latency_ratio=against_float,
        samples=verification.samples,
        calibration=origin.calibration,
        seed=origin.seed,
        seconds={step: round(value, 3) for step, value in seconds.items()},
        versions=versions(spec.route, reference.backend),
        warnings=_warnings(inspection, origin, reference, size, against_float),
        log=origin.log,
    )


def _load(file: Path, route: str) -> Runner:
    """Load a file that was made a moment ago."""
    try:
        return load(file, threads=_THREADS)
    except ValueError as error:
        raise ExportError(
            f"The route {route!r} made a file that cannot be loaded: {error}"
        ) from error


def check_signature(inspection: Inspection, spec: Spec, float_io: bool = True) -> None:
    """Refuse a file that cannot be run as its spec says.

    Args:
        inspection: What is in the file.
        spec: What it must be.
        float_io: Whether floats must be floats, not integers that stand for them.

    Raises:
        ExportError: If its signature is another one or dynamic, or it needs custom operations.
    """
    wanted = spec.signature
    found = [
        tuple(tensor if float_io else tensor.as_float for tensor in side)
        for side in (inspection.inputs, inspection.outputs)
    ]
    if found != [wanted.inputs, wanted.outputs]:
        raise ExportError(
            "The file has another signature than its model: "
            f"{signature_text(inspection.inputs)} -> {signature_text(inspection.outputs)} instead "
            f"of {signature_text(wanted.inputs)} -> {signature_text(wanted.outputs)}"
        )
    if wanted.static and not inspection.static:
        raise ExportError(
            "The file has dynamic shapes, which accelerators refuse. In TFLite they come from "
            "recurrent layers of many steps with `return_sequences=True`: give them `unroll=True`, "
            "or export to .onnx"
        )
    if inspection.custom_ops and (spec.portable or spec.format == "tflite"):
        raise ExportError(f"The file needs custom operations: {', '.join(inspection.custom_ops)}")


def _time(runner: Runner, trial: Trial, float32_file: Path | None) -> tuple[Latency, float | None]:
    """Time single calls on the first batch, fewer of them for a slow model.

    Where there is a float32 file, it is timed in turns: the second result is the ratio to it.
    """
    batch = single_batch(runner.inputs, trial.samples.arrays)
    runners = [runner, *([load(float32_file, threads=_THREADS)] if float32_file else [])]
    slowest = sum(time_calls(each, batch, 1)[0] for each in runners)
    repeats = int(np.clip(_TIMING_LIMIT * 1e3 / slowest / _TURNS, 1, _REPEATS / _TURNS))
    times: list[list[float]] = [[] for _ in runners]
    for _ in range(_TURNS):
        for each, taken in zip(runners, times, strict=True):
            taken.extend(time_calls(each, batch, repeats))
    medians = [float(np.median(taken)) for taken in times]
    ratio = round(medians[0] / medians[1], 3) if float32_file else None
    return summarize(times[0], _THREADS), ratio


def _warnings(
    inspection: Inspection,
    origin: Origin,
    reference: Reference,
    size: int,
    against_float: float | None,
) -> tuple[str, ...]:
    """Say what a user should know before shipping the file."""
    warnings = []
    smaller = bool(origin.recipe.smaller_dtypes)
    if reference.trained_in:
        warnings.append(
            f"the model computes in {reference.trained_in}; the reference is its float32 form"
        )
    total = sum(inspection.weight_bytes.values())
    left = inspection.weight_bytes.get("float32", 0)
    if smaller and left > _LEFT_FLOAT * total:
        warnings.append(f"{left / total:.0%} of the weight bytes stayed float32")
    float_size = origin.float32_file.stat().st_size
    if smaller and size >= float_size:
        warnings.append(f"the file is no smaller than the float32 file, {float_size} bytes")
    if against_float is not None and against_float > _SLOWER:
        warnings.append(f"{against_float:.1f} times as slow as the float32 file on this CPU")
    return tuple(warnings)


def time_calls(runner: Runner, feed: Mapping[str, np.ndarray], repeats: int) -> list[float]:
    """Time single calls of a loaded file, after a few that are not timed.

    Args:
        runner: The loaded file.
        feed: One batch.
        repeats: Timed calls.

    Returns:
        Milliseconds of each call.
    """
    for _ in range(_WARM_UP):
        runner(feed)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        runner(feed)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def summarize(times: Sequence[float], threads: int) -> Latency:
    """Reduce repeated calls to their median and interquartile range.

    Args:
        times: Milliseconds of each call.
        threads: Threads they ran on.

    Returns:
        The summary.
    """
    low, median, high = (float(value) for value in np.percentile(times, (25, 50, 75)))
    return Latency(round(median, 4), round(high - low, 4), threads, len(times))


def versions(route: str, backend: str) -> dict[str, str]:
    """Look up the versions of everything that shaped a file.

    Args:
        route: How the file was lowered.
        backend: The backend that computed the reference.

    Returns:
        Version by name.
    """
    found = {"python": platform.python_version(), "backend": backend}
    for name in ("keras", "kzoo", backend, *_DISTRIBUTIONS[route]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Run from a checkout, or installed under another name such as tensorflow-cpu.
            continue
    return found
