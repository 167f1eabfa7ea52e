"""Verification: a file in its own runtime against the model it came from."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kzoo_export.artifact.compare import compare
from kzoo_export.artifact.isolated import isolated
from kzoo_export.artifact.verification import Verification
from kzoo_export.recipe import Recipe
from kzoo_export.recipes import RECIPES


def verify(
    path: str | Path,
    model: Any,
    samples: Any = None,
    *,
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Verification:
    """Run a file in its own runtime and compare every output with the model's.

    Args:
        path: A `.tflite` or `.onnx` file.
        model: The Keras model it came from.
        samples: As for `export`.
        kinds: As for `export`.
        seed: Seed of random samples.

    Returns:
        The comparison, judged by the tolerance of the recipe in the report beside the file, or of
        `float32` where there is no report.

    Raises:
        ValueError: If the file and the model have different inputs or outputs.
    """
    from kzoo_export.source.names import named_inputs
    from kzoo_export.source.prepare import prepare

    source = prepare(model, kinds)
    recipe, judged_as = _recipe_beside(Path(path))
    with isolated(path) as runner:
        names = sorted(named_inputs(source.model))
        if names != sorted(tensor.name for tensor in runner.inputs):
            raise ValueError(
                f"`model` must have the inputs of the file: {[t.name for t in runner.inputs]}. "
                f"Received: a model with {names}"
            )
        inputs = source.fix(runner.inputs)
        signature = source.declare(runner.inputs, runner.outputs)
        reader = source.reader(dataclasses.replace(signature, inputs=inputs), seed)
        chosen = reader.default() if samples is None else reader.read(samples, "samples")
        trials = source.trials(inputs, chosen)
        return compare(runner, trials, recipe, signature, judged_as)


def _recipe_beside(path: Path) -> tuple[Recipe, str]:
    """Read a file's recipe off the report that was saved with it."""
    report = Path(f"{path}.report.json")
    if not report.is_file():
        return RECIPES["float32"], "float32, for want of a report"
    try:
        recipe = Recipe.from_dict(json.loads(report.read_text())["recipe"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"The report beside `path` must be one that `export` wrote. Received: {report} "
            f"({type(error).__name__}: {error})"
        ) from error
    return recipe, f"{recipe.name}, as reported"
