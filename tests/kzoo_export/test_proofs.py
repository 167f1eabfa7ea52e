"""The proofs at toy size, so that the code of `make proof` stays whole."""

from pathlib import Path

import pytest

from tests.kzoo.models.families import CONVERTED
from tests.proofs import families, foreign_models, peers

pytestmark = pytest.mark.once


def test_models_of_other_libraries(tmp_path: Path) -> None:
    name = "ViT"
    assert foreign_models.run(tmp_path, (name,), toy=True)
    # Nothing is done twice.
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert foreign_models.run(tmp_path, (name,), toy=True)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_families(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert families.run(tmp_path, 1, ("jax",))
    table = capsys.readouterr().out
    assert all(family in table for family in CONVERTED)
    # Nothing is done twice, and a difference is no success.
    (tmp_path / "jax_1.json").write_text('{"bert": [0.0, 1.0]}')
    assert not families.run(tmp_path, 1, ("jax",))


def test_peers_are_asked_and_laid_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.run(tmp_path, peers.TOY)
    table = capsys.readouterr().out
    for text in ("TFLite from JAX: ValueError", "then InvalidGraph at load", *peers.READ):
        assert text in table
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert len(done) == len(peers.TOY)
    # Nothing is done twice.
    assert peers.run(tmp_path, peers.TOY)
    assert {path: path.stat().st_mtime_ns for path in done} == done
