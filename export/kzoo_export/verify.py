"""Verification: a file in its own runtime against the model it came from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo_export import artefact
from kzoo_export.calibration import Samples
from kzoo_export.recipe import RECIPES, Recipe
from kzoo_export.report import Comparison, Verification
from kzoo_export.spec import format_of

PADDING_MASK = "padding_mask"
# Single numbers that lie closer together, against their size, are one number in float32.
_RESOLUTION = 1e-6
# Outputs of different samples with a larger cosine on average hardly depend on the input.
_ALIKE = 0.999
# A row this much smaller than the typical row has no direction worth comparing; its error still
# counts in the largest absolute error.
_SMALL_ROW = 0.1


def verify(path: str | Path, model: Any, samples: Any = None, *, seed: int = 0) -> Verification:
    """Run a file in its own runtime and compare every output with the model's.

    Args:
        path: A `.tflite` or `.onnx` file.
        model: The Keras model it came from.
        samples: As for `export`.
        seed: Seed of random samples.

    Returns:
        The comparison, judged by the tolerance of the recipe in the report beside the file, or of
        `float32` where there is no report.

    Raises:
        ValueError: If the file and the model have different inputs or outputs.
    """
    from kzoo_export.precision import in_float32
    from kzoo_export.reference import reference_outputs
    from kzoo_export.signature import make_reader, named_inputs

    model, _ = in_float32(model)
    runner = artefact.load(path)
    names = sorted(named_inputs(model))
    if names != sorted(tensor.name for tensor in runner.inputs):
        raise ValueError(
            f"`model` must have the inputs of the file: {[t.name for t in runner.inputs]}. "
            f"Received: a model with {names}"
        )
    reader = make_reader(model, runner.inputs, seed)
    chosen = reader.default() if samples is None else reader.read(samples, "samples")
    recipe, judged_as = _recipe_beside(Path(path))
    reference = reference_outputs(model, chosen.arrays)
    return compare(runner, chosen, reference, recipe, judged_as)


def compare(
    runner: artefact.Runner,
    samples: Samples,
    reference: Mapping[str, np.ndarray],
    recipe: Recipe,
    judged_as: str | None = None,
) -> Verification:
    """Run a file on samples and compare its outputs with a reference.

    Args:
        runner: The loaded file.
        samples: What to run it on.
        reference: The model's outputs on the same samples.
        recipe: Whose tolerance judges.
        judged_as: How to call the tolerance; the recipe's name by default.

    Returns:
        The comparison of every output.

    Raises:
        ValueError: If the file's outputs are not the model's.
    """
    if {tensor.name for tensor in runner.outputs} != set(reference):
        raise ValueError(
            f"`model` must have the outputs of the file: {[t.name for t in runner.outputs]}. "
            f"Received: a model with {list(reference)}"
        )
    outputs = artefact.run_batches(runner, samples.arrays)
    mask = samples.arrays.get(PADDING_MASK)
    return Verification(
        outputs=tuple(
            compare_output(name, outputs[name], expected, mask)
            for name, expected in reference.items()
        ),
        tolerance=recipe.tolerance,
        num_samples=len(samples),
        samples=samples.source,
        judged_as=judged_as or recipe.name,
    )


def compare_output(
    name: str, actual: np.ndarray, expected: np.ndarray, mask: np.ndarray | None = None
) -> Comparison:
    """Compare one output with its reference.

    Single numbers, one a sample or a position, form one row: their deviations from the mean of the
    reference, so that a large mean hides no lost signal.

    Args:
        name: Name of the output.
        actual: What the file gave.
        expected: What the model gave.
        mask: Padding mask (B, T). An output (B, T, ...) is compared at real positions only: what
            a model computes at padding is read by nobody.

    Returns:
        Largest absolute error, cosine by row (over the last axis) and, for logits, how often the
        largest entry is the same.

    Raises:
        ValueError: If the shapes differ.
    """
    if actual.shape != expected.shape:
        raise ValueError(f"{name!r} has the shape {actual.shape}, its model gives {expected.shape}")
    is_single = _is_single(expected)
    seen = None
    if mask is not None and expected.ndim > 2 and expected.shape[:2] == mask.shape:
        seen = mask != 0
    weak = not is_single and _alike(expected, seen)
    if seen is not None:
        actual, expected = actual[seen], expected[seen]
    actual, expected = _rows(actual), _rows(expected)
    if is_single:
        weak = bool(np.ptp(expected) <= _RESOLUTION * np.abs(expected).max())
        mean = 0.0 if weak else expected.mean()
        actual, expected = actual - mean, expected - mean
    cosines = _cosines(actual, expected)
    top1 = None
    if "logits" in name and expected.shape[1] > 1:
        top1 = float(np.mean(actual.argmax(axis=1) == expected.argmax(axis=1)))
    return Comparison(
        name=name,
        max_abs=float(np.abs(actual - expected).max()),
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        scale=float(np.abs(expected).max()),
        rows=len(cosines),
        top1=top1,
        weak=weak,
    )


def _is_single(array: np.ndarray) -> bool:
    """Tell whether an output is one number a sample or a position."""
    return array.ndim < 2 or array.shape[-1] == 1


def _alike(expected: np.ndarray, seen: np.ndarray | None) -> bool:
    """Tell whether the model says the same of all samples: mean cosine between two of them."""
    if seen is not None:
        expected = np.where(np.expand_dims(seen, tuple(range(2, expected.ndim))), expected, 0)
    rows = expected.reshape(len(expected), -1).astype("float32", copy=False)
    norms = np.maximum(np.linalg.norm(rows, axis=1), np.finfo("float32").tiny)
    total = (1 / norms) @ rows  # the sum of their directions
    pairs = len(rows) * (len(rows) - 1)
    nothing = pairs == 0 or not rows.any()
    return nothing or float(total @ total - len(rows)) / pairs > _ALIKE


def _rows(array: np.ndarray) -> np.ndarray:
    """Lay an output out as rows over its last axis; single numbers form one row together."""
    array = np.asarray(array, "float64")
    return array.reshape(1, -1) if _is_single(array) else array.reshape(-1, array.shape[-1])


def _cosines(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows, rows next to zero left out."""
    norms = np.linalg.norm(expected, axis=1)
    typical = np.sqrt(np.mean(norms**2))
    if typical == 0.0:
        return np.array([1.0 if not actual.any() else 0.0])
    kept = norms >= _SMALL_ROW * typical
    actual, expected, norms = actual[kept], expected[kept], norms[kept]
    lengths = np.maximum(np.linalg.norm(actual, axis=1), np.finfo("float64").tiny)
    return np.sum(actual * expected, axis=1) / (norms * lengths)


def _recipe_beside(path: Path) -> tuple[Recipe, str]:
    """Read a file's recipe off the report that was saved with it."""
    format_of(path)
    report = Path(f"{path}.report.json")
    if report.is_file():
        name = json.loads(report.read_text()).get("recipe")
        if name in RECIPES:
            return RECIPES[name], f"{name}, as reported"
    return RECIPES["float32"], "float32, for want of a report"
