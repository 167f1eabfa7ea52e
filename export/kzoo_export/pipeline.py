"""The export: spec, reference, lower, quantize, inspect, verify, report."""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from kzoo_export import publish
from kzoo_export.calibration import choose_samples, save_arrays
from kzoo_export.classes import Classes, collect
from kzoo_export.examine import Evidence, Made, Target, examine
from kzoo_export.lowering import CALIBRATION_FILE, CLASSES_FILE, MODEL_FILE, Job, child
from kzoo_export.precision import in_float32
from kzoo_export.recipe import Recipe, get_recipe
from kzoo_export.reference import reference_outputs
from kzoo_export.report import Report
from kzoo_export.signature import input_specs, make_reader, output_specs
from kzoo_export.spec import Spec, choose_route, format_of

Progress = Callable[[str, float], None]
Targets = (
    Mapping[str, str | Recipe] | Mapping[Path, str | Recipe] | Mapping[str | Path, str | Recipe]
)


def export(
    model: keras.Model,
    path: str | Path,
    recipe: str | Recipe = "float32",
    *,
    length: int | None = None,
    batch_size: int = 1,
    samples: Any = None,
    calibration: Any = None,
    route: str | None = None,
    portable: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Write a verified TFLite or ONNX file of a Keras model, and its report beside it.

    Args:
        model: Any built Keras 3 model: functional or sequential, its own layers registered.
        path: File to write, `.tflite` or `.onnx`. Nothing is written unless the file passes.
        recipe: How numbers are stored and computed: a name of `RECIPES` or a `Recipe`.
        length: Size of the axes that the model leaves open, such as the tokens of a row.
        batch_size: Rows of the file's inputs.
        samples: What the file is verified on: x as `fit` takes it (dictionary of arrays, one array,
            or texts for a model with a tokenizer), a tuple (x, y) or (x, y, sample_weight), or an
            iterable of such batches. Labels are not used. Without it, packaged sentences for a
            model with a tokenizer, else random numbers.
        calibration: Other samples, for recipes that calibrate.
        route: How the model is lowered; by default the best route of the format.
        portable: ONNX: keep to the standard operators.
        seed: Seed of everything random.
        progress: Called with each step and the fraction that is done.

    Returns:
        What was measured on the file.

    Raises:
        ValueError: If an argument does not fit; the message names it.
        ImportError: If a package is missing; the message names the extra to install.
        ExportError: If the file could not be made, or is no better than the model.
        VerificationError: If the file is further from the model than the recipe allows.
    """
    return export_all(
        model,
        {Path(path): recipe},
        length=length,
        batch_size=batch_size,
        samples=samples,
        calibration=calibration,
        route=route,
        portable=portable,
        seed=seed,
        progress=progress,
    )[0]


def export_all(
    model: keras.Model,
    targets: Targets,
    *,
    length: int | None = None,
    batch_size: int = 1,
    samples: Any = None,
    calibration: Any = None,
    route: str | None = None,
    portable: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Report]:
    """Write several files of one model: one reference run, one lowering for each route.

    Args:
        model: The model, as for `export`.
        targets: Recipe by file. Either all files are written or none.
        length: As for `export`.
        batch_size: As for `export`.
        samples: As for `export`.
        calibration: As for `export`.
        route: As for `export`; it must fit the format of every file.
        portable: As for `export`.
        seed: As for `export`.
        progress: As for `export`.

    Returns:
        One report a file, in the order of `targets`.

    Raises:
        ValueError: As for `export`.
    """
    if not targets:
        raise ValueError("`targets` must name at least one file. Received: none")
    tell = progress or (lambda step, fraction: None)
    plan = [_plan(path, recipe, route) for path, recipe in targets.items()]
    classes = collect(model)
    model, trained_in = in_float32(model)
    inputs = input_specs(model, length, batch_size)
    reader = make_reader(model, inputs, seed)
    calibrates = any(target.format in target.recipe.calibrated for target in plan)
    verifying, calibrating = choose_samples(reader, samples, calibration, calibrates)
    tell("reference", 0.0)
    start = time.perf_counter()
    reference = reference_outputs(model, verifying.arrays)
    evidence = Evidence(verifying, calibrating, reference, time.perf_counter() - start, trained_in)
    spec = Spec("", "", inputs, output_specs(reference, batch_size), portable)
    with tempfile.TemporaryDirectory(prefix="kzoo-", ignore_cleanup_errors=True) as folder:
        made = _lower(model, plan, spec, classes, evidence, Path(folder), _part(tell, 0.1, 0.8))
        reports = {}
        for number, file in enumerate(made):
            tell(f"verify {file.target.path.name}", 0.8 + 0.2 * number / len(made))
            reports[file.made] = examine(model, file, evidence, seed)
        publish.publish(reports)
    tell("done", 1.0)
    by_path = {report.path: report for report in reports.values()}
    return [by_path[str(target.path)] for target in plan]


def _plan(path: str | Path, recipe: str | Recipe, route: str | None) -> Target:
    """Check one target, its folder included."""
    chosen = choose_route(format_of(path), route)
    publish.check_target(Path(path))
    return Target(Path(path), get_recipe(recipe), chosen)


def _lower(
    model: keras.Model,
    plan: list[Target],
    spec: Spec,
    classes: Classes,
    evidence: Evidence,
    folder: Path,
    tell: Progress,
) -> list[Made]:
    """Save the model once, and run one child process for each route."""
    tell("save", 0.0)
    saved = folder / MODEL_FILE
    model.save(saved)
    made = []
    routes = list(dict.fromkeys(target.route for target in plan))
    for number, route in enumerate(routes):
        targets = [target for target in plan if target.route == route]
        job_folder = folder / route
        job_folder.mkdir()
        os.link(saved, job_folder / MODEL_FILE)
        if classes.pickled is not None:
            (job_folder / CLASSES_FILE).write_bytes(classes.pickled)
        if evidence.calibrating is not None:
            save_arrays(job_folder / CALIBRATION_FILE, evidence.calibrating.arrays)
        route_spec = dataclasses.replace(spec, format=targets[0].format, route=route)
        files = {f"{i}.{target.format}": target for i, target in enumerate(targets)}
        recipes = {name: dataclasses.asdict(target.recipe) for name, target in files.items()}
        part = _part(tell, number / len(routes), (number + 1) / len(routes))
        seconds = child.run(Job(route_spec, recipes, classes.modules), job_folder, part)
        made += [Made(t, job_folder / name, route_spec, seconds) for name, t in files.items()]
    return made


def _part(tell: Progress, low: float, high: float) -> Progress:
    """Map the progress of one step to its part of the whole."""
    return lambda step, fraction: tell(step, low + (high - low) * fraction)
