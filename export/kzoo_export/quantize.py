"""Quantization of a float file, whoever made it: the same recipes, measurements and refusals."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export.artifact.files import inspect, run_batches, save, working_folder
from kzoo_export.artifact.isolated import isolated
from kzoo_export.artifact.measure import Reference
from kzoo_export.artifact.report import Inspection, Report
from kzoo_export.assets import has_assets, load_classifier, write_assets
from kzoo_export.finish import finish
from kzoo_export.labels import find_classes
from kzoo_export.lowering.process import Lowered
from kzoo_export.progress import Progress, part, silent
from kzoo_export.recipe import Recipe
from kzoo_export.recipes import get_recipe
from kzoo_export.samples import Reader, Samples
from kzoo_export.spec import Signature, Spec, check_kinds, format_of
from kzoo_export.split import choose_samples
from kzoo_export.target import Target, checked
from kzoo_export.trials import trials_by_kinds

# How the origin of a file is called in its report, in place of a route.
ROUTE = "file"
# What other libraries call the inputs that a tokenizer makes.
_NAMES = {
    "input_ids": "token_ids",
    "input_word_ids": "token_ids",
    "attention_mask": "padding_mask",
    "input_mask": "padding_mask",
    "token_type_ids": "segment_ids",
    "input_type_ids": "segment_ids",
}
_TOKENIZED = {"token_ids": "token_ids", "padding_mask": "mask"}
# Fewer bytes than this of other dtypes are constants of the graph, no weights.
_FEW_BYTES = 4096


def quantize(
    source: str | Path,
    path: str | Path,
    recipe: str | Recipe,
    *,
    samples: Any = None,
    calibration: Any = None,
    tokenizer: Any = None,
    kinds: Mapping[str, str] | None = None,
    portable: bool = False,
    target: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Quantize a float file, and verify the result against that file in the same runtime.

    Of a classifier of texts, the folder beside the file is copied too.

    Args:
        source: A float32 `.tflite` or `.onnx` file with one signature.
        path: File to write, of the same format. Nothing is written unless the file passes.
        recipe: How numbers are stored and computed: a name of `RECIPES` or a `Recipe`.
        samples: What the file is verified on, as for `export`. It must be given where an input
            holds integers; else it is random numbers by default.
        calibration: Other samples, for recipes that calibrate.
        tokenizer: Makes the inputs of texts, such as `kzoo.load_tokenizer("minilm_l6_v2")`. Inputs
            may be called as in `transformers`.
        kinds: What outputs and inputs are, by name, as for `export`.
        portable: ONNX: keep to the standard operators.
        target: The kind of hardware that must take the file, as for `export`.
        seed: Seed of everything random.
        progress: Called with each step and the fraction that is done.

    Returns:
        What was measured on the file.

    Raises:
        ValueError: If an argument does not fit; the message names it.
        ExportError: If the file could not be made, or is no better than the float file.
        TargetError: If the hardware does not take some operations.
        VerificationError: If the file is further from the float file than the recipe allows.
    """
    tell = progress or silent
    source = Path(source)
    wanted = checked(Target(Path(path), get_recipe(recipe), ROUTE, target), portable)
    _check_pair(source, wanted)
    inspection = inspect(source)
    _check_float(source, inspection)
    classifier = load_classifier(source) if has_assets(source) else None
    signature = _declare(inspection, kinds or {}, tokenizer is not None)
    verifying, calibrating = _choose(
        _reader(signature, tokenizer, seed), samples, calibration, wanted.calibrates
    )
    with working_folder() as folder:
        spec = Spec(wanted.format, ROUTE, (signature,), portable)
        bare = wanted.format == "tflite" and not inspection.signatures
        run = _with_signature(source, folder) if bare else source
        float32 = Lowered(run, spec, seconds={}, log=())
        tell("reference", 0.0)
        float_bytes = sum(inspection.weight_bytes.values())
        reference = _reference(float32.path, signature, verifying, float_bytes)
        file = folder / f"made.{wanted.format}"
        report = finish(
            wanted,
            float32,
            file,
            float_bytes=float_bytes,
            reference=reference,
            calibration=calibrating,
            seed=seed,
            tell=part(tell, 0.2, 1.0),
        )
        save({file: report}, write_assets(classifier, file))
    tell("done", 1.0)
    return report


def _check_pair(source: Path, target: Target) -> None:
    """Refuse a pair of files, or a recipe, between which nothing can be made."""
    if format_of(source) != target.format:
        raise ValueError(
            f"`path` must have the format of `source`, .{format_of(source)}. "
            f"Received: path={str(target.path)!r}"
        )
    if source.resolve() == target.path.resolve():
        raise ValueError(f"`path` must be another file. Received: path={str(target.path)!r}")
    if not target.recipe.smaller_dtypes:
        raise ValueError(
            "`recipe` must make numbers smaller: the file is float already. "
            f"Received: recipe={target.recipe.name!r}"
        )


def _check_float(source: Path, inspection: Inspection) -> None:
    """Refuse a file that is quantized already, or has several functions."""
    others = {
        dtype: size
        for dtype, size in inspection.weight_bytes.items()
        if not dtype.startswith(("float32", "int32", "int64", "bool")) and size >= _FEW_BYTES
    }
    if others:
        raise ValueError(
            "`source` must be a float32 file: quantize the file it was made from. "
            f"Received: {source} with {others} bytes of weights"
        )
    if len(inspection.signatures) > 1:
        raise ValueError(
            "`source` must have one signature. "
            f"Received: {source} with {', '.join(inspection.signatures)}"
        )


def _declare(inspection: Inspection, kinds: Mapping[str, str], tokenized: bool) -> Signature:
    """Make a signature of what is in a file and what is said of it."""
    inputs = [tensor.name for tensor in inspection.inputs]
    outputs = [tensor.name for tensor in inspection.outputs]
    check_kinds(kinds, inputs, outputs)
    known = {name: _TOKENIZED.get(_NAMES.get(name, name)) for name in inputs if tokenized}
    return Signature(
        inspection.inputs,
        inspection.outputs,
        input_kinds={
            **{name: kind for name, kind in known.items() if kind},
            **{name: kind for name, kind in kinds.items() if name in inputs},
        },
        output_kinds={name: kind for name, kind in kinds.items() if name in outputs},
    )


def _reader(signature: Signature, tokenizer: Any, seed: int) -> Reader:
    """Prepare to read samples for the inputs of a file."""

    def tokenize(*texts: list[str], length: int | None) -> dict[str, np.ndarray]:
        arrays = tokenizer(*texts, length=length)
        found = {entry.name: _NAMES.get(entry.name, entry.name) for entry in signature.inputs}
        unknown = [name for name, own in found.items() if own not in arrays]
        if unknown:
            raise ValueError(
                "`tokenizer` must make the inputs of the file, which are then called "
                f"{', '.join(arrays)}, or as in `transformers`. Received: {', '.join(unknown)}"
            )
        return {name: arrays[own] for name, own in found.items()}

    return Reader(
        signature.inputs,
        limits={},
        tokenizer=None if tokenizer is None else tokenize,
        seed=seed,
        kinds=signature.input_kinds,
        classes=find_classes(signature),
    )


def _choose(
    reader: Reader, samples: Any, calibration: Any, calibrates: bool
) -> tuple[Samples, Samples | None]:
    """Decide what verifies and what calibrates; ids are not made up."""
    integers = [entry.name for entry in reader.inputs if not entry.dtype.startswith("float")]
    if samples is None and calibration is None and integers and reader.tokenizer is None:
        raise ValueError(
            f"`samples` must be given, or a `tokenizer`: {integers[0]!r} holds integers, and which "
            "ones the file knows is not. Received: samples=None"
        )
    return choose_samples(reader, samples, calibration, calibrates)


def _with_signature(source: Path, folder: Path) -> Path:
    """Give a TFLite file without a signature one, of the names of its tensors, in a copy."""
    from kzoo_export.tflite import flatbuffer
    from kzoo_export.tflite.convert import add_signature

    model = flatbuffer.read(source.read_bytes())
    add_signature(model)
    copied = folder / source.name
    copied.write_bytes(flatbuffer.write(model))
    return copied


def _reference(path: Path, signature: Signature, samples: Samples, float_bytes: int) -> Reference:
    """Run the float file, in a process of its own: it may be damaged."""
    start = time.perf_counter()
    with isolated(path) as runner:
        trials = trials_by_kinds(
            signature.inputs,
            samples,
            lambda given: run_batches(runner, given.arrays),
            signature.input_kinds,
        )
    seconds = time.perf_counter() - start
    return Reference(trials, "the float file", float_bytes, seconds)
