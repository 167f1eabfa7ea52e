"""The proofs at toy size: one model of each kind, so that the code of `make proof` stays whole."""

from pathlib import Path

import pytest

from tests.proofs import foreign_models

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", ["MobileNetV3Small", "ViT", "Whisper encoder"])
def test_models_of_other_libraries(name: str, tmp_path: Path) -> None:
    assert foreign_models.run(tmp_path, (name,), toy=True)
    # Nothing is done twice.
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert foreign_models.run(tmp_path, (name,), toy=True)
    assert {path: path.stat().st_mtime_ns for path in done} == done
