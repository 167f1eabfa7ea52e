"""The export: prepare, lower, quantize, measure, accept, save."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kzoo.models.backbone import find_tokenizer
from kzoo_export.artifact.files import inspect, save, working_folder
from kzoo_export.artifact.measure import Reference
from kzoo_export.artifact.plan import Plan
from kzoo_export.artifact.report import Report
from kzoo_export.assets import classifier_of, write_assets
from kzoo_export.finish import finish
from kzoo_export.lowering.process import Lowered, lowering
from kzoo_export.progress import Progress, part, silent
from kzoo_export.recipe import Recipe
from kzoo_export.samples import Samples
from kzoo_export.source.prepare import Size, Source, prepare
from kzoo_export.source.saving import save as save_source
from kzoo_export.spec import Signature, Spec
from kzoo_export.split import choose_samples
from kzoo_export.target import Target, make_target
from kzoo_export.trials import with_traced_shapes

Targets = (
    Mapping[str, str | Recipe] | Mapping[Path, str | Recipe] | Mapping[str | Path, str | Recipe]
)


def export(
    model: keras.Model,
    path: str | Path,
    recipe: str | Recipe = "float32",
    *,
    length: Size = ...,
    batch_size: int | None = 1,
    samples: Any = None,
    calibration: Any = None,
    kinds: Mapping[str, str] | None = None,
    route: str | None = None,
    portable: bool = False,
    target: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Write a verified TFLite or ONNX file of a Keras model, and its report beside it.

    Beside the file of a classifier of texts goes a folder, `<path>.assets`, with which
    `load_classifier` tells the labels of texts.

    Args:
        model: Any built Keras 3 model: functional or sequential, its own layers registered.
        path: File to write, `.tflite` or `.onnx`. Nothing is written unless the file passes.
        recipe: How numbers are stored and computed: a name of `RECIPES` or a `Recipe`.
        length: Size of the axes that the model leaves open, such as the tokens of a row; `None`
            leaves them open, verified at several lengths. Left out where the model fixes them.
        batch_size: Rows of the file's inputs, or `None` to leave them open.
        samples: What the file is verified on: x as `fit` takes it (dictionary of arrays, one array,
            or, for a model with a tokenizer, texts or tuples of two texts), a tuple (x, y) or
            (x, y, sample_weight), or an iterable of such batches. Labels y of the model's one
            output of class logits (names or indices), label logits (names for each sample, or an
            array of 0 and 1) or regression values give the accuracy, micro F1 or correlation of the
            file beside that of the model; of other models they are not used. Without it, packaged
            sentences for a model with a tokenizer, else random numbers.
        calibration: Other samples, for recipes that calibrate.
        kinds: What outputs are, by name, so that they are compared that way: `hidden_states`,
            `embedding`, `class_logits`, `label_logits`, `regression_values`, `token_logits`,
            `span_logits` or `integers`; of inputs, `token_ids` or `mask`. kzoo's models and heads
            say it themselves.
        route: How the model is lowered; by default the best route of the format.
        portable: ONNX: keep to the standard operators.
        target: The kind of hardware that must take every operation of the file: `cpu`, `gpu`,
            `npu_int8`, `npu_int16` or `microcontroller`.
        seed: Seed of everything random.
        progress: Called with each step and the fraction that is done.

    Returns:
        What was measured on the file.

    Raises:
        ValueError: If an argument does not fit; the message names it.
        ImportError: If a package is missing; the message names the extra to install.
        ExportError: If the file could not be made, or is no better than the model.
        TargetError: If the hardware does not take some operations.
        VerificationError: If the file is further from the model than the recipe allows.
    """
    return export_all(
        model,
        {Path(path): recipe},
        length=length,
        batch_size=batch_size,
        samples=samples,
        calibration=calibration,
        kinds=kinds,
        route=route,
        portable=portable,
        target=target,
        seed=seed,
        progress=progress,
    )[0]


def plan(
    model: keras.Model,
    path: str | Path,
    recipe: str | Recipe = "float32",
    *,
    length: Size = ...,
    batch_size: int | None = 1,
    samples: Any = None,
    calibration: Any = None,
    kinds: Mapping[str, str] | None = None,
    route: str | None = None,
    portable: bool = False,
    target: str | None = None,
    seed: int = 0,
) -> Plan:
    """Check the arguments of an export and say what it would make; nothing is lowered or written.

    Args:
        model: As for `export`, like everything else.
        path: The file.
        recipe: The recipe.
        length: Size of the open axes.
        batch_size: Rows.
        samples: What the file would be verified on.
        calibration: Other samples.
        kinds: What outputs and inputs are.
        route: How the model would be lowered.
        portable: ONNX: keep to the standard operators.
        target: The kind of hardware that must take every operation of the file: `cpu`, `gpu`,
            `npu_int8`, `npu_int16` or `microcontroller`.
        seed: Seed of everything random.

    Returns:
        Route, signature, samples, bounds and the expected size.
    """
    file = make_target(path, recipe, route, portable, target)
    source = prepare(model, kinds)
    signature = source.signature(length, batch_size)
    verifying, calibrating = _choose(source, signature, [file], samples, calibration, seed)
    return Plan(
        path=str(path),
        spec=Spec(file.format, file.route, (signature,), portable),
        recipe=file.recipe,
        float_size=source.float_size,
        samples=verifying.source,
        calibration=calibrating.source if calibrating else None,
    )


def export_all(
    model: keras.Model,
    targets: Targets,
    *,
    length: Size = ...,
    batch_size: int | None = 1,
    samples: Any = None,
    calibration: Any = None,
    kinds: Mapping[str, str] | None = None,
    route: str | None = None,
    portable: bool = False,
    target: str | None = None,
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
        kinds: As for `export`.
        route: As for `export`; it must fit the format of every file.
        portable: As for `export`.
        target: As for `export`.
        seed: As for `export`.
        progress: As for `export`.

    Returns:
        One report a file, in the order of `targets`.

    Raises:
        ValueError: As for `export`.
    """
    if not targets:
        raise ValueError("`targets` must name at least one file. Received: none")
    tell = progress or silent
    files = [make_target(path, recipe, route, portable, target) for path, recipe in targets.items()]
    source = prepare(model, kinds)
    signature = source.signature(length, batch_size)
    verifying, calibrating = _choose(source, signature, files, samples, calibration, seed)
    traced = with_traced_shapes(signature, verifying.arrays)
    with working_folder() as folder:
        reference, lowered = _run_and_lower(
            source, traced, verifying, files, portable, folder, part(tell, 0.0, 0.7)
        )
        float_bytes = {
            route: sum(inspect(made.path).weight_bytes.values()) for route, made in lowered.items()
        }
        reports: dict[Path, Report] = {}
        assets: dict[Path, Path] = {}
        for number, wanted in enumerate(files):
            file = folder / f"{number}.{wanted.format}"
            reports[file] = finish(
                wanted,
                lowered[wanted.route],
                file,
                float_bytes=float_bytes[wanted.route],
                reference=reference,
                calibration=calibrating,
                seed=seed,
                tell=part(tell, *(0.7 + 0.3 * (number + end) / len(files) for end in (0, 1))),
            )
            classifier = classifier_of(
                source.model, signature, find_tokenizer(source.model), wanted.path
            )
            assets |= write_assets(classifier, file)
        save(reports, assets)
    tell("done", 1.0)
    return list(reports.values())


def _choose(
    source: Source,
    signature: Signature,
    files: list[Target],
    samples: Any,
    calibration: Any,
    seed: int,
) -> tuple[Samples, Samples | None]:
    """Decide what verifies the files, and what calibrates them if any of them does."""
    reader = source.reader(signature, seed)
    return choose_samples(reader, samples, calibration, any(file.calibrates for file in files))


def _run_and_lower(
    source: Source,
    signature: Signature,
    samples: Samples,
    files: list[Target],
    portable: bool,
    folder: Path,
    tell: Progress,
) -> tuple[Reference, dict[str, Lowered]]:
    """Run the model on the samples that verify, and make one float32 file by each route."""
    tell("save", 0.0)
    saved = folder / "source"
    saved.mkdir()
    save_source(source.model, source.custom_objects, saved)
    formats = {target.route: target.format for target in files}
    reference, lowered = None, {}
    for number, (route, format) in enumerate(formats.items()):
        spec = Spec(format, route, (signature,), portable)
        with lowering(saved, spec, folder / route) as result:
            if reference is None:
                # Here, while the first child starts and loads the model.
                tell("reference", 0.1 / len(formats))
                reference = _reference(source, signature, samples)
            lowered[route] = result(
                part(tell, (number + 0.2) / len(formats), (number + 1) / len(formats))
            )
    assert reference is not None
    return reference, lowered


def _reference(source: Source, signature: Signature, samples: Samples) -> Reference:
    """Run the model, and time it."""
    start = time.perf_counter()
    trials = source.trials(signature.inputs, samples)
    seconds = time.perf_counter() - start
    return Reference(trials, source.backend, source.float_size, seconds, source.trained_in)
