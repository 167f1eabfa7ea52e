"""A folder that is usable alone, and the plan of an export."""

import dataclasses
import json
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo.data import Tokenizer
from kzoo_export import RECIPES, Plan, Report, complete_folder, export, plan
from kzoo_export.artifact.files import load
from kzoo_export.spec import RUNTIMES
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_nothing_left

pytestmark = pytest.mark.once

LENGTH, ROWS, RECIPE = 16, 2, "dynamic_int8"
TEXTS = ["a sentence about the sea", "a short one", "and a third, which has no place in the file"]


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    """A model whose texts lose their beginning and are padded in front, where both are unusual."""
    model = tiny_backbone(with_tokenizer=True)
    with tempfile.TemporaryDirectory() as folder:
        model.tokenizer.save(folder)
        path = Path(folder, "tokenizer_config.json")
        sides = {"padding_side": "left", "truncation_side": "left"}
        path.write_text(json.dumps({**json.loads(path.read_text()), **sides}))
        model.tokenizer = Tokenizer.from_folder(folder)
    return model


@pytest.fixture(scope="module", params=RUNTIMES)
def planned_and_made(
    request: pytest.FixtureRequest,
    backbone: keras.Model,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Plan, Report]:
    folder = tmp_path_factory.mktemp("folder")
    path = folder / f"tiny.{request.param}"
    options: dict[str, Any] = {"length": LENGTH, "batch_size": ROWS, "samples": TEXTS}
    planned = plan(backbone, path, RECIPE, **options)
    check_nothing_left(folder)
    return planned, export(backbone, path, RECIPE, **options)


def test_example_runs_the_file_on_texts(
    backbone: keras.Model,
    planned_and_made: tuple[Plan, Report],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = planned_and_made[1]
    folder = Path(report.path).parent
    exported = set(folder.iterdir())
    complete_folder(backbone, report)
    written = {path.name for path in set(folder.iterdir()) - exported}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert written == {"config.json", "example.py", *tokenizer}
    monkeypatch.setattr(sys, "argv", ["example.py", *TEXTS])
    outputs = runpy.run_path(str(folder / "example.py"))["outputs"]
    expected = backbone.predict(backbone.tokenizer(TEXTS[:ROWS], length=LENGTH), verbose=0)
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, atol=0.1 * np.abs(array).max())
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["config"]["hidden_dim"] == backbone.config.hidden_dim
    assert [entry["name"] for entry in config["inputs"]] == list(backbone.input)


def test_example_of_integers_prints_floats(tmp_path: Path) -> None:
    model, random = models.image_classifier(), np.random.default_rng(0)
    path = tmp_path / "integers.tflite"
    integers = dataclasses.replace(RECIPES["static_int8"], float_io=False)
    samples = random.random((32, *model.input_shape[1:])).astype("float32")
    report = export(model, path, integers, samples=samples)
    complete_folder(model, report)
    outputs = runpy.run_path(str(tmp_path / "example.py"))["outputs"]
    (entry,) = report.inspection.inputs
    assert entry.quantization is not None
    scale, zero_point = entry.quantization
    # Integers of 0, which the example gives the file, by what they stand for.
    given = {entry.name: np.full(entry.shape, -zero_point * scale, "float32")}
    for name, array in load(path)(given).items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], array, rtol=1e-6)


@pytest.mark.parametrize("format", RUNTIMES)
def test_example_of_a_model_without_tokenizer(tmp_path: Path, format: str) -> None:
    model = models.two_in_two_out()
    report = export(model, tmp_path / f"dense.{format}")
    complete_folder(model, report)
    # -I: what kzoo is installed with must not matter.
    command = [sys.executable, "-I", str(tmp_path / "example.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "kzoo" not in (tmp_path / "example.py").read_text()
    for tensor in report.inspection.outputs:
        assert f"{tensor.name} {tensor.dtype} {tensor.shape}" in done.stdout
    assert json.loads((tmp_path / "config.json").read_text())["model"]["config"] is None


def test_plan_is_what_the_export_does(planned_and_made: tuple[Plan, Report]) -> None:
    planned, report = planned_and_made
    signature = planned.spec.signature
    assert (signature.inputs, signature.outputs) == (
        report.inspection.inputs,
        report.inspection.outputs,
    )
    made = (report.route, report.recipe, report.samples, report.calibration, report.float_size)
    assert made == (
        planned.spec.route,
        planned.recipe,
        planned.samples,
        planned.calibration,
        planned.float_size,
    )
    assert planned.expected_size == round(planned.recipe.size_ratio * planned.float_size)


def test_plan_refuses_what_the_export_refuses(backbone: keras.Model, tmp_path: Path) -> None:
    for options, message in (
        ({"route": "torch"}, "`route`"),
        ({"recipe": "int9"}, "`recipe`"),
        ({}, "`length`"),
        ({"length": LENGTH, "samples": "a text"}, "`samples`"),
    ):
        with pytest.raises(ValueError, match=message):
            plan(backbone, tmp_path / "tiny.tflite", **options)
