"""A folder that is usable alone, and the plan of an export."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import complete_folder, export, plan
from kzoo_export.spec import RUNTIMES
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_nothing_left

pytestmark = pytest.mark.once

LENGTH, ROWS = 16, 2
TEXTS = ["a sentence about the sea", "another one", "and a third, which has no place in the file"]


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    return tiny_backbone(with_tokenizer=True)


@pytest.mark.parametrize("format", RUNTIMES)
def test_example_runs_the_file_on_texts(
    backbone: keras.Model, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = export(
        backbone, tmp_path / f"tiny.{format}", length=LENGTH, batch_size=ROWS, samples=TEXTS
    )
    exported = set(tmp_path.iterdir())
    complete_folder(backbone, report)
    written = {path.name for path in set(tmp_path.iterdir()) - exported}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert written == {"config.json", "example.py", *tokenizer}
    monkeypatch.setattr(sys, "argv", ["example.py", *TEXTS])
    outputs = runpy.run_path(str(tmp_path / "example.py"))["outputs"]
    expected = backbone.predict(backbone.tokenizer(TEXTS[:ROWS], length=LENGTH), verbose=0)
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, atol=1e-4)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model"]["config"]["hidden_dim"] == backbone.config.hidden_dim
    assert [entry["name"] for entry in config["inputs"]] == list(backbone.input)


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


@pytest.mark.parametrize("format", RUNTIMES)
def test_plan_is_what_the_export_does(backbone: keras.Model, tmp_path: Path, format: str) -> None:
    path, recipe = tmp_path / f"tiny.{format}", "dynamic_int8"
    planned = plan(backbone, path, recipe, length=LENGTH, batch_size=ROWS, samples=TEXTS)
    check_nothing_left(tmp_path)
    report = export(backbone, path, recipe, length=LENGTH, batch_size=ROWS, samples=TEXTS)
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
