"""Every family of the zoo in both formats, in the inputs that it reads."""

from pathlib import Path

import pytest

from kzoo_export import export_all
from tests.kzoo.models.families import CONVERTED
from tests.kzoo_export.checks import recipes_of
from tests.kzoo_export.models import family_model

pytestmark = pytest.mark.once

# One recipe of each way to make numbers smaller; `make proof PROOF=coverage` tries all.
TRIED = ("float32", "dynamic_int8", "static_int8", "weight_int4")


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", CONVERTED)
def test_family_exports(name: str, format: str, tmp_path: Path) -> None:
    model = family_model(name)
    recipes = [recipe for recipe in TRIED if recipe in recipes_of(format)]
    files = {tmp_path / f"{recipe}.{format}": recipe for recipe in recipes}
    for report in export_all(model, files, length=16):
        assert report.verification.passed
        assert [tensor.name for tensor in report.inspection.inputs] == list(
            model.config.input_names
        )
