"""Model x format x recipe: every file is loaded again and compared on samples it never saw."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import Report, export_all
from kzoo_export.calibration import Reader
from kzoo_export.signature import make_reader
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_export

FORMATS = ("tflite", "onnx")
RECIPES = ("float32", "float16", "dynamic_int8")
BUILDERS: dict[str, Callable[[Path], keras.Model]] = {
    "kerashub_bert": lambda folder: models.kerashub_bert(),
    "image_classifier": lambda folder: models.image_classifier(),
    "two_in_two_out": lambda folder: models.two_in_two_out(),
    "user_layers": models.user_layers,
}
# Names and shapes as the models above declare them.
SIGNATURES = {
    "kerashub_bert": (
        {"token_ids": (1, 12), "segment_ids": (1, 12), "padding_mask": (1, 12)},
        {"sequence_output": (1, 12, 32), "pooled_output": (1, 32)},
    ),
    "image_classifier": ({"image": (1, 12, 12, 3)}, {"logits": (1, 10)}),
    "two_in_two_out": ({"words": (1, 12), "numbers": (1, 32)}, {"topic": (1, 8), "age": (1, 1)}),
    "user_layers": ({"features": (1, 32)}, {"score": (1, 5)}),
}

Exported = tuple[str, keras.Model, dict[tuple[str, str], Report], list[tuple[str, float]]]


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One model in every format and recipe: one child process for each format."""
    keras.utils.clear_session()
    folder = tmp_path_factory.mktemp(request.param)
    model = BUILDERS[request.param](folder)
    steps: list[tuple[str, float]] = []
    cells = [(format, recipe) for format in FORMATS for recipe in RECIPES]
    reports = export_all(
        model,
        {folder / f"{recipe}.{format}": recipe for format, recipe in cells},
        length=models.LENGTH if request.param == "kerashub_bert" else None,
        progress=lambda step, fraction: steps.append((step, fraction)),
    )
    return request.param, model, dict(zip(cells, reports, strict=True)), steps


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("format", FORMATS)
def test_file_keeps_the_contract(exported: Exported, format: str, recipe: str) -> None:
    name, model, reports, _ = exported
    report = reports[format, recipe]
    assert (report.format, report.recipe) == (format, recipe)
    reader: Reader = make_reader(model, report.inspection.inputs, seed=99)
    check_export(report, model, dict(reader.default().arrays))
    inputs, outputs = SIGNATURES[name]
    assert [(t.name, t.shape) for t in report.inspection.inputs] == list(inputs.items())
    assert [(t.name, t.shape) for t in report.inspection.outputs] == list(outputs.items())


def test_integer_inputs_are_int32(exported: Exported) -> None:
    _, _, reports, _ = exported
    for report in reports.values():
        for entry in report.inspection.inputs:
            expected = "float32" if entry.name in ("image", "numbers", "features") else "int32"
            assert entry.dtype == expected


def test_progress_runs_from_the_start_to_the_end(exported: Exported) -> None:
    *_, steps = exported
    fractions = [fraction for _, fraction in steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert {"reference", "load", "lower", *RECIPES} <= {step for step, _ in steps}


def test_smaller_recipes_make_smaller_files(exported: Exported) -> None:
    _, _, reports, _ = exported
    for format in FORMATS:
        bytes_of = {
            recipe: sum(reports[format, recipe].inspection.weight_bytes.values())
            for recipe in RECIPES
        }
        assert bytes_of["dynamic_int8"] < bytes_of["float16"] < bytes_of["float32"]


def test_reference_is_the_model_itself(exported: Exported) -> None:
    """The contract is judged by `reference_outputs`: it must be what the user sees."""
    from kzoo_export.reference import reference_outputs

    name, model, reports, _ = exported
    inputs = reports["tflite", "float32"].inspection.inputs
    samples = dict(make_reader(model, inputs, seed=5).default().arrays)
    order = [entry.name for entry in inputs]
    given = samples if name == "kerashub_bert" else [samples[key] for key in order]
    called = model(given if len(order) > 1 else samples[order[0]], training=False)
    expected = list(called.values()) if isinstance(called, dict) else keras.tree.flatten(called)
    for actual, value in zip(reference_outputs(model, samples).values(), expected, strict=True):
        # Batches of another size may sum in another order.
        np.testing.assert_allclose(actual, keras.ops.convert_to_numpy(value), atol=1e-5)
