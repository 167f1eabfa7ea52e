"""Prepared folders: the same bytes however they are made, and one clear error for bad input."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader

import kzoo
from kzoo.data import prepare as prepare_function
from kzoo.data.records import Record, make_records
from kzoo.data.tokenizer import Tokenizer

pytestmark = pytest.mark.once

SHARD = 20


@pytest.fixture(scope="module")
def tokenizer(minilm_folder):
    return Tokenizer.from_folder(minilm_folder)


@pytest.fixture(scope="module")
def documents():
    texts = kzoo.data.sample_texts()
    return [" ".join(texts[start : start + 8]) for start in range(0, 488, 8)]


@pytest.fixture(scope="module")
def corpus(documents, tmp_path_factory):
    """61 documents in two files: three shards of 20, the last of 21."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text("\n\n".join(documents[:30]), "utf-8")
    lines = "".join(json.dumps({"text": document}) + "\n" for document in documents[30:])
    (folder / "b.jsonl").write_text(lines, "utf-8")
    return folder


def prepare(corpus, out, tokenizer, **arguments):
    arguments = {"documents_per_shard": SHARD, "held_out": 0, **arguments}
    return prepare_function([corpus], out, tokenizer, **arguments)


def content_of(folder):
    """Return a hash of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def prepared(corpus, tokenizer, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "data"
    steps = []
    manifest = prepare(
        corpus, out, tokenizer, workers=1, length=64, progress=lambda *step: steps.append(step)
    )
    fractions = [fraction for _, fraction in steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    return out, manifest


def test_records_are_those_of_the_documents(prepared, documents, tokenizer):
    out, manifest = prepared
    assert [shard.documents for shard in manifest.shards] == [20, 20, 21]
    for index, shard in enumerate(manifest.shards):
        some = documents[SHARD * index :][: shard.documents]
        random = np.random.default_rng([0, index, 0])
        expected = make_records(some, tokenizer, "next_sentence", 64, random)
        reader = ArrayRecordReader(str(out / shard.name))
        assert [Record.from_bytes(row) for row in reader.read_all()] == expected
        reader.close()
        assert shard.records == len(expected)
        assert shard.tokens == sum(len(record.token_ids) for record in expected)
        assert shard.is_next == sum(record.is_next for record in expected)
        assert shard.sha256 == content_of(out)[shard.name]
    written = json.loads((out / "manifest.json").read_text())
    assert written == json.loads(json.dumps(manifest.to_dict()))
    assert written["totals"]["train"]["documents"] == len(documents)
    assert written["totals"]["held_out"]["records"] == 0


def test_some_documents_of_each_shard_are_held_out(corpus, documents, tokenizer, tmp_path):
    manifest = prepare(corpus, tmp_path / "data", tokenizer, workers=1, length=64, held_out=0.15)
    some = {"train": [], "held_out": []}
    for shard in manifest.shards:
        some[shard.split].append(shard)
    assert [shard.documents for shard in some["train"]] == [17, 17, 18]
    assert [shard.documents for shard in some["held_out"]] == [3, 3, 3]
    drawn = sorted(np.random.default_rng([0, 1, 2]).permutation(20)[:3])
    assert drawn != [17, 18, 19]
    for shard, split, places in (
        (some["held_out"][1], 1, drawn),
        (some["train"][1], 0, sorted(set(range(20)) - set(drawn))),
    ):
        texts = [documents[20 + place] for place in places]
        random = np.random.default_rng([0, 1, split])
        expected = make_records(texts, tokenizer, "next_sentence", 64, random)
        reader = ArrayRecordReader(str(tmp_path / "data" / shard.name))
        assert [Record.from_bytes(row) for row in reader.read_all()] == expected
        reader.close()
    assert shard.name == "train-00001.array_record"
    again = prepare(corpus, tmp_path / "data", tokenizer, workers=1, length=64, held_out=0.15)
    assert again == manifest


@pytest.mark.parametrize(
    ("pairs", "documents_per_shard", "expected"),
    [("next_sentence", 20, [2, 2, 2]), ("next_sentence", 19, []), ("none", 10, [1] * 6)],
)
def test_few_documents_are_held_out_or_none(
    corpus, tokenizer, tmp_path, pairs, documents_per_shard, expected
):
    """A pair needs two documents; the last shard of 10 has the 61st document besides."""
    arguments = {"pairs": pairs, "documents_per_shard": documents_per_shard, "held_out": 0.01}
    manifest = prepare(corpus, tmp_path / "data", tokenizer, workers=1, **arguments)
    shards = [shard for shard in manifest.shards if shard.split == "held_out"]
    assert [shard.documents for shard in shards] == expected


@pytest.mark.parametrize("workers", [2, 4])
def test_bytes_do_not_depend_on_workers(prepared, corpus, tokenizer, tmp_path, workers):
    prepare(corpus, tmp_path / "data", tokenizer, workers=workers, length=64)
    assert content_of(tmp_path / "data") == content_of(prepared[0])


def test_ended_run_goes_on(prepared, corpus, tokenizer, tmp_path, monkeypatch):
    module = sys.modules["kzoo.data.shards"]
    made = []

    def make_and_end(*arguments):
        made.append(arguments)
        if len(made) == 2:
            raise KeyboardInterrupt
        return make_records(*arguments)

    out = tmp_path / "data"
    monkeypatch.setattr(module, "make_records", make_and_end)
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, out, tokenizer, workers=1, length=64)
    assert not (out / "manifest.json").exists()
    assert not list(out.glob("*.unfinished"))
    prepare(corpus, out, tokenizer, workers=1, length=64)
    assert len(made) == 4  # the first shard was there already
    assert content_of(out) == content_of(prepared[0])


def test_run_killed_before_its_settings_goes_on(prepared, corpus, tokenizer, tmp_path):
    tokenizer.save(tmp_path / "data" / "tokenizer")
    (tmp_path / "data" / "tokenizer" / "tokenizer.json").write_text('{"half')
    (tmp_path / "data" / "settings.unfinished").touch()
    prepare(corpus, tmp_path / "data", tokenizer, workers=1, length=64)
    assert content_of(tmp_path / "data") == content_of(prepared[0])


def test_killed_run_with_a_trained_vocabulary_goes_on(corpus, tmp_path):
    """Each run is a process of its own: the vocabulary is trained once."""
    command = [sys.executable, "-m", "kzoo", "prepare", str(corpus), "--workers", "1", "--json"]
    command += ["--out", str(tmp_path / "data"), "--train-vocab", "500", "--length", "32"]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with killed:
        deadline = time.monotonic() + 60
        while not (tmp_path / "data" / "settings.json").exists() and killed.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
    trained = content_of(tmp_path / "data" / "tokenizer")
    runs = [
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert json.loads(runs[0].stdout)["totals"]["train"]["documents"] == 58
    assert content_of(tmp_path / "data" / "tokenizer") == trained


def test_nothing_is_left_of_an_empty_corpus(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text(" \n\n", "utf-8")
    with pytest.raises(ValueError, match=r"`sources` must have text\. Received: none in 1 files"):
        prepare(tmp_path / "a.txt", tmp_path / "data", tokenizer)
    (tmp_path / "a.txt").write_text("One document.\nOf two lines.\n", "utf-8")
    with pytest.raises(ValueError, match=r"`pairs` must be 'none' unless .* and one document"):
        prepare(tmp_path / "a.txt", tmp_path / "data", tokenizer)
    assert not (tmp_path / "data").exists()
    assert prepare(tmp_path / "a.txt", tmp_path / "data", tokenizer, pairs="none").shards


def test_damaged_text_late_in_a_corpus(corpus, tokenizer, tmp_path):
    (tmp_path / "a.txt").write_bytes((corpus / "a.txt").read_bytes() + b"\n\n\xff\n")
    with pytest.raises(ValueError, match=r"must be UTF-8\. Received: byte 0xff in line 61"):
        prepare(tmp_path, tmp_path / "data", tokenizer, workers=1)
    assert not (tmp_path / "data" / "manifest.json").exists()
    (tmp_path / "a.txt").write_bytes((corpus / "a.txt").read_bytes())
    with pytest.raises(ValueError, match="`out` has records with other sources: take another"):
        prepare(tmp_path / "a.txt", tmp_path / "data", tokenizer, workers=1)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_full_disk_is_an_error_and_the_run_goes_on(corpus, tmp_path, workers):
    """Where no file may be larger than a bit less than the records, writing them fails as there."""
    whole = prepare(corpus, tmp_path / "whole", 300, workers=1, documents_per_shard=1000)
    size = (tmp_path / "whole" / whole.shards[0].name).stat().st_size
    limited = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (int({0}), int({0}))); "
    command = ["prepare", corpus, "--held-out", "0", "--workers", workers]
    command += ["--tokenizer", tmp_path / "whole" / "tokenizer", "--out", tmp_path / "data"]
    runs = [
        subprocess.run(
            [sys.executable, "-c", f"{first}from kzoo.cli import main; main()", *map(str, command)],
            capture_output=True,
            text=True,
            env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
        for first in (limited.format(size - 1), "")
    ]
    assert [run.returncode for run in runs] == [1, 0]
    (error,) = runs[0].stderr.strip().splitlines()
    assert "File too large" in error
    assert "train-00000" in error
    assert content_of(tmp_path / "data").keys() == content_of(tmp_path / "whole").keys()
    name = whole.shards[0].name
    assert content_of(tmp_path / "data")[name] == content_of(tmp_path / "whole")[name]


def test_vocabulary_without_special_tokens(corpus, tmp_path):
    """Neither a token that begins a text nor one that hides others."""
    for missing in ("[MASK]", "[CLS]"):
        folder = tmp_path / missing.strip("[]")
        folder.mkdir()
        tokens = [f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")]
        words = [token for token in tokens if token != missing] + [*"abcdefgh"]
        (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
        with pytest.raises(ValueError, match=re.escape(missing)):
            prepare(corpus, tmp_path / "data", Tokenizer.from_folder(folder))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 32}, "`out` has records with other settings"),
        ({"length": 64, "seed": 1}, "`out` has records with other settings"),
        ({"length": 600}, r"`length` must be at most the 512 tokens .*Received: length=600"),
        ({"length": 4}, "`length` must have room"),
        ({"pairs": "order"}, "`pairs` must be one of"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"workers": 0}, "`workers` must be a positive integer"),
    ],
)
def test_wrong_arguments(prepared, corpus, tokenizer, arguments, message):
    before = content_of(prepared[0])
    with pytest.raises(ValueError, match=message):
        prepare(corpus, prepared[0], tokenizer, **arguments)
    assert content_of(prepared[0]) == before


def test_folders_of_others_are_left_alone(corpus, tokenizer, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="`out` must be a new folder or one of an earlier run"):
        prepare(corpus, tmp_path, tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_vocabularies_have_a_least_size(corpus, tmp_path):
    with pytest.raises(ValueError, match="`vocab_size` must be an integer of at least 100"):
        prepare(corpus, tmp_path / "data", 20)
    assert not (tmp_path / "data").exists()


def test_command_prints_a_table(corpus, minilm_folder, tmp_path, monkeypatch, capsys):
    from kzoo import cli

    command = ["kzoo", "prepare", str(corpus), "--tokenizer", str(minilm_folder), "--workers", "1"]
    out = ["--out", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", [*command, *out, "--pairs", "none"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["documents", "58", "3"] in lines
    assert not [line for line in lines if "random" in line]
    monkeypatch.setattr(sys, "argv", [*command, *out, "--train-vocab", "500"])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert "One of `--tokenizer` and `--train-vocab` must be given" in capsys.readouterr().err
