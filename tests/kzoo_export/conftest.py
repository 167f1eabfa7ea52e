"""One small exported model, shared by the tests that look at files."""

from pathlib import Path

import keras
import pytest

from kzoo_export import Report, export_all
from tests.kzoo_export import models


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, dict[str, Report]]:
    """A model and its TFLite files by recipe."""
    folder: Path = tmp_path_factory.mktemp("exported")
    model = models.two_in_two_out()
    recipes = ("float32", "float16", "dynamic_int8")
    reports = export_all(model, {folder / f"{recipe}.tflite": recipe for recipe in recipes})
    return model, dict(zip(recipes, reports, strict=True))
