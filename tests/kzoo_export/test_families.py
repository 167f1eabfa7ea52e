"""Every family of the zoo in every recipe and both formats, in the inputs that it reads."""

from pathlib import Path

import keras
import pytest

from kzoo_export import export_all
from tests.kzoo.models.families import CONVERTED, small_config
from tests.kzoo_export.checks import recipes_of

pytestmark = pytest.mark.once


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", CONVERTED)
def test_family_exports_in_every_recipe(name: str, format: str, tmp_path: Path) -> None:
    family = CONVERTED[name]
    keras.utils.set_random_seed(0)
    sizes = {"vocab_size": 400, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}
    config = small_config(family, **sizes, max_length=32)
    model = family.backbone_class(config)
    files = {tmp_path / f"{recipe}.{format}": recipe for recipe in recipes_of(format)}
    for report in export_all(model, files, length=16):
        assert report.verification.passed
        assert [tensor.name for tensor in report.inspection.inputs] == list(config.input_names)
