"""Compare the outputs of a file with those of its model, each as its kind asks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from kzoo.problems import BY_KIND, Problem
from kzoo_export.artifact.files import Runner, run_batches
from kzoo_export.artifact.verification import Accuracy, Comparison, Verification
from kzoo_export.recipe import Recipe
from kzoo_export.spec import Signature
from kzoo_export.trials import Trial

Arrays = Mapping[str, np.ndarray]
# Whatever computes outputs: a model, or the numbers of some of its constants.
Subject = TypeVar("Subject")

# Single numbers that lie closer together, against their size, are one number in float32.
_RESOLUTION = 1e-6
# Rows that are run to see what other numbers lose.
_FEW = 8
# Outputs of different samples with a larger cosine on average hardly depend on the input.
_ALIKE = 0.999
# A row this much smaller than the typical row has no direction worth comparing; its error still
# counts in the largest absolute error.
_SMALL_ROW = 0.1


def compare(
    runner: Runner,
    trials: Sequence[Trial],
    recipe: Recipe,
    signature: Signature,
    judged_as: str | None = None,
) -> Verification:
    """Run a file on samples and compare its outputs with those of its model.

    Args:
        runner: The loaded file.
        trials: Samples, and the model's outputs on them, in every size.
        recipe: Whose tolerance judges.
        signature: The kinds of inputs and outputs.
        judged_as: How to call the tolerance; the recipe's name by default.

    Returns:
        The comparison of every output.

    Raises:
        ValueError: If the file's outputs are not the model's.
    """
    expected = trials[0].outputs
    if {tensor.name for tensor in runner.outputs} != set(expected):
        raise ValueError(
            f"`model` must have the outputs of the file: {[t.name for t in runner.outputs]}. "
            f"Received: a model with {list(expected)}"
        )
    samples = trials[0].samples
    accuracies: tuple[Accuracy, ...] = ()
    compared: list[Comparison] = []
    for trial in trials:
        actual = run_batches(runner, trial.samples.arrays, trial.batch_size)
        found = compare_outputs(actual, trial.outputs, trial.samples.arrays, signature)
        compared += [dataclasses.replace(each, size=trial.size) for each in found]
        # Of samples that are cut, the labels say less.
        accuracies = accuracies or _accuracies(actual, trial, signature)
    return Verification(
        outputs=tuple(compared),
        tolerance=recipe.tolerance,
        num_samples=len(samples),
        samples=samples.source,
        judged_as=judged_as or recipe.name,
        accuracies=accuracies,
    )


def _accuracies(actual: Arrays, trial: Trial, signature: Signature) -> tuple[Accuracy, ...]:
    """Compare the outputs of a file, and those of its model, with the labels of the samples."""

    def measure(problem: Problem, logits: np.ndarray, labels: np.ndarray) -> float:
        names = list(map(str, range(logits.shape[1])))
        with np.errstate(all="ignore"):  # A file may give NaN.
            return float(getattr(problem.score(logits, labels, names), problem.metric))

    found = []
    for name, labels in trial.samples.labels.items():
        problem = BY_KIND[signature.output_kinds[name]]
        model, file = (measure(problem, each[name], labels) for each in (trial.outputs, actual))
        found.append(Accuracy(name, model, file, problem.metric_name))
    return tuple(found)


def compare_outputs(
    actual: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    samples: Mapping[str, np.ndarray],
    signature: Signature,
) -> list[Comparison]:
    """Compare all outputs with their reference.

    Args:
        actual: What the file gave, by name.
        expected: What it should have given.
        samples: What it was run on, by input name.
        signature: The kinds of inputs and outputs.

    Returns:
        A comparison for each output of the reference.
    """
    mask = None if signature.mask is None else samples.get(signature.mask)
    return [
        compare_output(name, actual[name], array, mask, signature.output_kinds.get(name))
        for name, array in expected.items()
    ]


def compare_with(
    run: Callable[[Subject, Arrays], Arrays],
    subject: Subject,
    samples: Arrays,
    signature: Signature,
) -> Callable[[Subject], float]:
    """Prepare to measure what others lose beside a float model.

    Args:
        run: Computes the outputs of anything on rows of samples.
        subject: What `run` takes for the float model.
        samples: Samples by input name, a few of which are run.
        signature: The kinds of inputs and outputs.

    Returns:
        A function of what `run` takes: the mean of what the outputs lose.
    """
    rows = np.unique(np.linspace(0, len(next(iter(samples.values()))) - 1, _FEW).astype(int))
    few = {name: array[rows] for name, array in samples.items()}
    expected = run(subject, few)

    def loss(other: Subject) -> float:
        compared = compare_outputs(run(other, few), expected, few, signature)
        return float(np.mean([output.loss for output in compared]))

    return loss


def compare_output(
    name: str,
    actual: np.ndarray,
    expected: np.ndarray,
    mask: np.ndarray | None = None,
    kind: str | None = None,
) -> Comparison:
    """Compare one output with its reference.

    Integers and booleans are compared by equality, whatever was declared. Of span logits (B, T, 2)
    a row is the logits of all positions, of anything else it is the last axis. Single numbers, one
    a sample or a position, form one row: their deviations from the mean of the reference, so that a
    large mean hides no lost signal. NaN and infinity of the reference must be met exactly.

    Args:
        name: Name of the output.
        actual: What the file gave.
        expected: What the model gave.
        mask: Padding mask (B, T). An output with a row or a number for each token is compared at
            real positions only: what a model computes at padding is read by nobody.
        kind: The kind of the output, or `None` where it is not known.

    Returns:
        What was measured.

    Raises:
        ValueError: If the shapes differ.
    """
    if actual.shape != expected.shape:
        raise ValueError(f"{name!r} has the shape {actual.shape}, its model gives {expected.shape}")
    real = _real_positions(expected, mask, kind)
    if expected.dtype.kind in "biu" or kind == "integers":
        return _compare_integers(name, actual, expected, real)
    special = ~np.isfinite(expected)
    met = _same_special(actual[special], expected[special])
    actual, expected = np.where(special, 0.0, actual), np.where(special, 0.0, expected)
    agreement = None
    if kind == "span_logits":
        agreement = _agreement(*(_along_positions(a, real, -np.inf) for a in (actual, expected)))
        actual, expected = (_along_positions(a, real, 0.0) for a in (actual, expected))
        real = None
    is_single = _is_single(expected, kind)
    weak = not is_single and _alike(expected, real)
    if real is not None:
        actual, expected = actual[real], expected[real]
    actual, expected = _rows(actual, is_single), _rows(expected, is_single)
    if kind in ("class_logits", "token_logits"):
        same_sign = float(np.mean((actual > 0) == (expected > 0)))
        agreement = same_sign if is_single else _agreement(actual, expected)
    if kind == "label_logits":
        agreement = float(np.mean(((actual > 0) == (expected > 0)).all(axis=-1)))
    if is_single:
        weak = bool(np.ptp(expected) <= _RESOLUTION * np.abs(expected).max())
        mean = 0.0 if weak else expected.mean()
        actual, expected = actual - mean, expected - mean
    cosines = _cosines(actual, expected)
    return Comparison(
        name=name,
        kind=kind,
        max_abs=float(np.abs(actual - expected).max()) if met else float("inf"),
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        scale=float(np.abs(expected).max()),
        rows=len(cosines),
        agreement=agreement,
        weak=weak,
    )


def _same_special(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Say whether NaN and infinity were met; LiteRT's kernels stop at the largest float32."""
    largest = np.finfo("float32").max
    actual, expected = (np.clip(array, -largest, largest) for array in (actual, expected))
    return np.array_equal(actual, expected, equal_nan=True)


def _compare_integers(
    name: str, actual: np.ndarray, expected: np.ndarray, real: np.ndarray | None
) -> Comparison:
    """Count how many integers are the same."""
    if real is not None:
        actual, expected = actual[real], expected[real]
    actual, expected = actual.astype("float64"), expected.astype("float64")
    return Comparison(
        name=name,
        kind="integers",
        max_abs=float(np.abs(actual - expected).max()),
        cosine_mean=float("nan"),
        cosine_min=float("nan"),
        scale=float(np.abs(expected).max()),
        rows=len(expected),
        agreement=float(np.mean(actual == expected)),
        weak=bool((expected == expected[:1]).all()),
    )


def _agreement(actual: np.ndarray, expected: np.ndarray) -> float:
    """Count the rows with the same largest number."""
    return float(np.mean(actual.argmax(axis=-1) == expected.argmax(axis=-1)))


def _real_positions(
    expected: np.ndarray, mask: np.ndarray | None, kind: str | None
) -> np.ndarray | None:
    """Find the real positions of an output that has something for each token."""
    if mask is None or expected.shape[:2] != mask.shape:
        return None
    # (B, C) may have as many classes as there are tokens.
    return mask != 0 if expected.ndim > 2 or kind == "token_logits" else None


def _along_positions(logits: np.ndarray, real: np.ndarray | None, padding: float) -> np.ndarray:
    """Turn (B, T, 2) to rows (2 B, T), with another number at padding."""
    if real is not None:
        logits = np.where(real[:, :, None], logits, padding)
    return np.swapaxes(logits, 1, 2).reshape(-1, logits.shape[1])


def _is_single(array: np.ndarray, kind: str | None) -> bool:
    """Tell whether an output is one number a sample or a position."""
    return array.ndim < 2 or array.shape[-1] == 1 or (array.ndim == 2 and kind == "token_logits")


def _alike(expected: np.ndarray, real: np.ndarray | None) -> bool:
    """Tell whether the model says the same of all samples: mean cosine between two of them."""
    if real is not None:
        expected = np.where(np.expand_dims(real, tuple(range(2, expected.ndim))), expected, 0)
    rows = expected.reshape(len(expected), -1).astype("float32", copy=False)
    norms = np.maximum(np.linalg.norm(rows, axis=1), np.finfo("float32").tiny)
    total = (1 / norms) @ rows  # the sum of their directions
    pairs = len(rows) * (len(rows) - 1)
    nothing = pairs == 0 or not rows.any()
    return nothing or float(total @ total - len(rows)) / pairs > _ALIKE


def _rows(array: np.ndarray, is_single: bool) -> np.ndarray:
    """Lay an output out as rows over its last axis; single numbers form one row together."""
    array = np.asarray(array, "float64")
    return array.reshape(1, -1) if is_single else array.reshape(-1, array.shape[-1])


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
