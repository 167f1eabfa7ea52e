"""The proofs at toy size, so that the code of `make proof` stays whole."""

import json
import re
from pathlib import Path

import pytest

import kzoo
from tests.kzoo.models.families import CONVERTED
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters
from tests.proofs import (
    costs,
    coverage,
    families,
    finetune,
    foreign_models,
    peers,
    pretraining,
    recipes,
)
from tests.proofs.labeled import Set

pytestmark = pytest.mark.once

SETS = {"bbc": "bbc", "tweets": "tweets.csv"}
TOY = (2, 32, 32, 8, 1, ("torch",), {"onnx": ("dynamic_int8",)}, False)


def test_models_of_other_libraries(tmp_path: Path) -> None:
    name = "ViT"
    assert foreign_models.run(tmp_path, (name,), toy=True)
    # Nothing is done twice.
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert foreign_models.run(tmp_path, (name,), toy=True)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_coverage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried = (("bert",), ("onnx",), ("float16", "static_int16x8"))
    assert coverage.run(tmp_path, *tried)
    # ONNX has no static_int16x8.
    row = next(line for line in capsys.readouterr().out.splitlines() if "│ bert" in line)
    assert row.split("│")[3].strip() == "1.0000"
    assert row.split("│")[4].strip() == "-"
    # Nothing is done twice, and a recipe that failed is no success.
    answer = tmp_path / "bert_onnx.json"
    answer.write_text(json.dumps({**json.loads(answer.read_text()), "float16": "refused"}))
    assert not coverage.run(tmp_path, *tried)


def test_fine_tuning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kzoo.save_huggingface(tiny_backbone(with_tokenizer=True), tmp_path / "tiny")
    texts, labels = letters(60)
    rows = ["text,label"]
    for index, label in enumerate(labels):
        rows.append(f"{texts[index]} {index:b},{label}")
        (tmp_path / "bbc" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "bbc" / label / f"{index}.txt").write_text(f"{texts[index]} {index:b}")
    (tmp_path / "tweets.csv").write_text("\n".join(rows))
    sets = {name: Set(tmp_path / path, 24, 1, 0.9) for name, path in SETS.items()}
    proof = tmp_path / "proof"
    assert finetune.run(proof, finetune.Size(str(tmp_path / "tiny"), *TOY), sets)
    table = capsys.readouterr().out
    assert "dynamic_int8, onnx" in table
    assert "± standard error" in table
    # Nothing is done twice, and what misses its goal is no success.
    done = {path: path.stat().st_mtime_ns for path in proof.glob("*.json")}
    assert len(done) == 2 * 2 * 2 + 2 + 1
    assert not finetune.run(
        proof, finetune.Size(str(tmp_path / "tiny"), *TOY)._replace(goals=True), sets
    )
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


def test_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried = {"presets": ("bert_tiny",), "names": ("dynamic_int8",), "formats": ("onnx",)}
    assert costs.run(tmp_path, **tried, length=32)
    assert "bert_tiny, onnx, dynamic_int8" in capsys.readouterr().out
    (answer,) = tmp_path.glob("bert_tiny_*.json")
    facts = json.loads(answer.read_text())
    # A process that has Keras, and its child that has PyTorch.
    assert 3e8 < facts["peak"] < 1e10
    assert sum(facts["seconds"].values()) < 2 * facts["export"]
    # Nothing is done twice, and what did not export is no success.
    answer.write_text(json.dumps({"error": "killed", "peak": 0}))
    assert not costs.run(tmp_path, **tried, length=32)


def test_recipes_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = "kzoo_tflite_kzoo_weight_int8", "kzoo_tflite_ai-edge-quantizer_static_wi8_ai8"
    assert recipes.run(tmp_path, 8, (ours, theirs))
    table = capsys.readouterr().out
    assert re.search(r"kzoo, tflite *│ kzoo *│ weight_int8 *│", table)
    assert re.search(r"kzoo, tflite *│ ai-edge-quantizer *│ static_wi8_ai8 *│", table)
    # Nothing is done twice, and what misses its goal is no success.
    facts = json.loads((tmp_path / f"{ours}_8.json").read_text())
    assert json.loads((tmp_path / f"{theirs}_8.json").read_text())["mean"] < 0.9
    assert facts["mean"] > 0.999
    missed = tmp_path / "kzoo_tflite_kzoo_static_int8_8.json"
    missed.write_text(json.dumps({**facts, "mean": 0.99, "int8": 1.0}))
    assert not recipes.run(tmp_path, 8, ("kzoo_tflite_kzoo_static_int8",))


def test_text_becomes_verified_files_and_a_folder_of_transformers(tmp_path, capfd):
    sentences = kzoo.data.sample_texts()
    documents = [" ".join(sentences[start : start + 8]) for start in range(0, 400, 8)]
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("\n\n".join(documents), "utf-8")
    prepare = ["--train-vocab", "500", "--length", "128"]
    arguments = {"steps": 3, "prepare": prepare, "better": False}
    assert pretraining.run(tmp_path / "proof", tmp_path / "text", **arguments)
    printed = capfd.readouterr().out
    assert "3 of 32 records" in printed
    assert printed.count("Verification passed") == 2
    assert "loaded strictly" in printed


def test_pages_become_paragraphs():
    reader = pretraining.TextOfPage()
    reader.feed(
        "<html><head><title>No title of a page here</title></head><body><nav><p>Skip me please, it"
        " is a menu</p></nav><h1>A heading of five words¶</h1><p>One <b>bold</b> word in a\n"
        "paragraph.</p><pre>code of more than four words</pre><p>Too short.</p></body></html>"
    )
    assert reader.lines() == ["A heading of five words", "One bold word in a paragraph."]
