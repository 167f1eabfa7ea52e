"""Model x format x recipe: every file is loaded again and compared on samples it never saw."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, RecipeError, Report, export_all
from kzoo_export.source.prepare import prepare
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_export, recipes_of

FORMATS = ("tflite", "onnx")
BUILDERS: dict[str, Callable[[Path], keras.Model]] = {
    "kerashub_bert": lambda folder: models.kerashub_bert(),
    "image_classifier": lambda folder: models.image_classifier(),
    "two_in_two_out": lambda folder: models.two_in_two_out(),
    "transformer_lm": lambda folder: models.transformer_lm(),
    "user_layers": models.user_layers,
}
# The backend of the user makes the reference, and saves the model: two models show that it does.
ON_EVERY_BACKEND = ("transformer_lm", "user_layers")
# Models that look rows of a table up; the others have no weight for some recipes.
WITH_TABLES = ("kerashub_bert", "two_in_two_out", "transformer_lm")
ABOUT_TABLES = {
    name
    for name, recipe in RECIPES.items()
    if {override.operation for override in recipe.overrides} == {"embedding"}
}
# Inputs by name, with open axes.
NAMED = ("kerashub_bert", "transformer_lm")
Shapes = dict[str, tuple[int, ...]]
# Names and shapes as the models declare them.
SIGNATURES: dict[str, tuple[Shapes, Shapes]] = {
    "kerashub_bert": (
        {"token_ids": (1, 12), "segment_ids": (1, 12), "padding_mask": (1, 12)},
        {"sequence_output": (1, 12, 32), "pooled_output": (1, 32)},
    ),
    "image_classifier": ({"image": (1, 12, 12, 3)}, {"logits": (1, 10)}),
    "two_in_two_out": ({"words": (1, 12), "numbers": (1, 32)}, {"topic": (1, 8), "age": (1, 1)}),
    "transformer_lm": ({"token_ids": (1, 12)}, {"hidden": (1, 12, 32), "logits": (1, 12, 50)}),
    "user_layers": ({"features": (1, 32)}, {"score": (1, 5)}),
}


@dataclasses.dataclass
class Exported:
    """A model in one format and every recipe."""

    name: str
    format: str
    model: keras.Model
    reports: dict[str, Report]
    steps: list[tuple[str, float]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            (name, format),
            id=f"{name}-{format}",
            marks=() if name in ON_EVERY_BACKEND else pytest.mark.once,
        )
        for name in sorted(BUILDERS)
        for format in FORMATS
    ],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One child process makes the files of all recipes."""
    name, format = request.param
    folder = tmp_path_factory.mktemp(name)
    model = BUILDERS[name](folder)
    steps: list[tuple[str, float]] = []
    recipes = [
        recipe for recipe in recipes_of(format) if name in WITH_TABLES or recipe not in ABOUT_TABLES
    ]
    reports = export_all(
        model,
        {folder / f"{recipe}.{format}": recipe for recipe in recipes},
        length=models.LENGTH if name in NAMED else ...,
        progress=lambda step, fraction: steps.append((step, fraction)),
    )
    return Exported(name, format, model, dict(zip(recipes, reports, strict=True)), steps)


@pytest.mark.parametrize("recipe", RECIPES)
def test_file_keeps_the_contract(exported: Exported, recipe: str) -> None:
    if recipe not in exported.reports:
        pytest.skip("the format has no such recipe, or the model no table")
    report = exported.reports[recipe]
    assert (report.format, report.recipe.name) == (exported.format, recipe)
    inspection = report.inspection
    source = prepare(exported.model)
    signature = source.declare(inspection.inputs, inspection.outputs)
    unseen = source.reader(signature, seed=99).default()
    check_export(report, exported.model, dict(unseen.arrays))
    inputs, outputs = SIGNATURES[exported.name]
    assert [(t.name, t.shape) for t in inspection.inputs] == list(inputs.items())
    assert [(t.name, t.shape) for t in inspection.outputs] == list(outputs.items())
    for entry in inspection.inputs:
        is_float = entry.name in ("image", "numbers", "features")
        assert entry.dtype == ("float32" if is_float else "int32")


@pytest.mark.parametrize("recipe", sorted(ABOUT_TABLES))
@pytest.mark.once
def test_recipes_about_tables_need_one(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"embedding weights: int4.*[\s\S]*dense: "):
        export_all(models.image_classifier(), {tmp_path / "a.tflite": recipe})
    assert not list(tmp_path.iterdir())


def test_progress_runs_from_the_start_to_the_end(exported: Exported) -> None:
    fractions = [fraction for _, fraction in exported.steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert {"reference", "load", "lower"} <= {step for step, _ in exported.steps}


def test_smaller_recipes_have_smaller_weights(exported: Exported) -> None:
    weights = {
        recipe: sum(report.inspection.weight_bytes.values())
        for recipe, report in exported.reports.items()
    }
    for smallest in ("dynamic_int8", "weight_int8"):
        assert weights[smallest] < weights["float16"] < weights["float32"]


def test_reference_is_the_model_itself(exported: Exported) -> None:
    """The contract is judged by `Source.run`: it must be what the user sees."""
    model, inspection = exported.model, exported.reports["float32"].inspection
    source = prepare(model)
    signature = source.declare(inspection.inputs, inspection.outputs)
    made = source.reader(signature, seed=5).default()
    samples = dict(made.arrays)
    by_order = list(samples.values())
    by_place = by_order if len(by_order) > 1 else by_order[0]
    called = model(samples if exported.name in NAMED else by_place, training=False)
    outputs = source.run(made)
    expected = called
    if not isinstance(called, dict):
        expected = dict(zip(outputs, keras.tree.flatten(called), strict=True))
    for name, actual in outputs.items():
        # Batches of another size may sum in another order.
        value = keras.ops.convert_to_numpy(expected[name])
        np.testing.assert_allclose(actual, value, atol=1e-5)
