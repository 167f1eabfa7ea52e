"""Pretraining from prepared records to files, by function and by command."""

import csv
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kzoo
from kzoo import cli
from kzoo.data import held_out_batches, prepare, unigram_accuracy
from kzoo.models import BertConfig
from kzoo.tasks import Pretraining
from kzoo.training import AdamW, pretrain
from tests.arrays import to_numpy

LENGTH, BATCH = 32, 8
SMALL = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 16, "max_length": LENGTH}
CONFIG = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": LENGTH,
}
FILES = ["curves.png", "huggingface", "log.csv", "model.keras", "run.json", "tensorboard"]


def make_data(folder, pairs="next_sentence", **arguments):
    texts = kzoo.data.sample_texts()
    documents = [" ".join(texts[start : start + 8]) for start in range(0, 320, 8)]
    (folder / "text.txt").write_text("\n\n".join(documents), "utf-8")
    settings = {"tokenizer": 300, "pairs": pairs, "length": LENGTH, "workers": 1, **arguments}
    prepare([folder / "text.txt"], folder / "data", **settings)
    return folder / "data"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pairs of 40 documents, and a vocabulary of 300 tokens."""
    return make_data(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("singles"), "none", held_out=0)


def make_task(data, **sizes):
    tokenizer = kzoo.load_tokenizer(data / "tokenizer")
    config = BertConfig(**{"vocab_size": len(tokenizer.tokens), **SMALL, **sizes})
    backbone = kzoo.models.BertBackbone(config)
    backbone.tokenizer = tokenizer
    task = Pretraining(backbone)
    task.compile(AdamW(1e-2))
    return task


def test_run_leaves_what_it_says(data, tmp_path):
    keras.utils.set_random_seed(0)
    task, told = make_task(data), []
    result = pretrain(
        task, data, tmp_path / "run", 60, BATCH, 25, progress=lambda *each: told.append(each)
    )
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == result
    totals = json.loads((data / "manifest.json").read_text())["totals"]["train"]
    tokens = 60 * BATCH * totals["tokens"] / totals["records"]
    assert (result["steps"], result["tokens"]) == (60, round(tokens))
    assert result["epochs"] == 60 * BATCH / totals["records"]
    with (tmp_path / "run" / "log.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["step"] for line in lines] == ["25", "50", "60"]
    assert float(lines[-1]["val_loss"]) < float(lines[0]["val_loss"])
    assert told[-1][1] == 1.0

    batches = held_out_batches(data, BATCH, 200)
    assert result["held_out"]["unigram_accuracy"] == unigram_accuracy(batches)
    scores = [
        ((to_numpy(task(x)["masked"]).argmax(-1) == y["masked"]) * w["masked"]).sum()
        for x, y, w in batches
    ]
    expected = sum(scores) / result["held_out"]["predictions"]
    assert result["held_out"]["masked_accuracy"] == pytest.approx(expected, rel=1e-5)


def test_model_of_a_run_is_the_trained_one(data, tmp_path):
    task = make_task(data)
    pretrain(task, data, tmp_path / "run", 3, BATCH)
    (x, *_), *_ = held_out_batches(data, BATCH, 1)
    for source in ("model.keras", "huggingface"):
        loaded = Pretraining.from_pretrained(tmp_path / "run" / source)
        assert loaded.tokenizer.tokens == task.tokenizer.tokens
        for name, logits in task(x).items():
            np.testing.assert_array_equal(to_numpy(loaded(x)[name]), to_numpy(logits))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_command(data, tmp_path, monkeypatch, capsys, precision):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    options = ["--steps", "4", "--log-every", "3", "--batch-size", str(BATCH)]
    command = ["--model", str(tmp_path / "config.json"), *options, "--precision", precision]
    code = call(monkeypatch, data, "--out", tmp_path / "run", *command, "--json")
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert np.isfinite(result["logs"]["loss"])
    assert keras.config.dtype_policy().name == "float32"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    task = kzoo.load(tmp_path / "run" / "model.keras")
    assert task.get_layer("embedding").dtype_policy.name == precision
    assert kzoo.load(tmp_path / "run" / "huggingface").config.vocab_size == 300


@pytest.mark.once
def test_command_goes_on_from_weights(data, tmp_path, monkeypatch, capsys):
    task = make_task(data)
    kzoo.save_huggingface(task, tmp_path / "model")
    command = ["--model", tmp_path / "model", "--steps", "1", "--batch-size", BATCH]
    command += ["--learning-rate", "1e-12", "--weight-decay", "0", "--warmup-steps", "0"]
    assert call(monkeypatch, data, *command, "--out", tmp_path / "on") == 0
    shown = capsys.readouterr().out
    assert "1 of 8 records" in shown
    assert "always the commonest token" in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80
    before = kzoo.load(tmp_path / "model").get_weights()
    after = kzoo.load(tmp_path / "on" / "huggingface").get_weights()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert call(monkeypatch, data, *command, "--from-scratch", "--out", tmp_path / "new") == 0
    new = kzoo.load(tmp_path / "new" / "huggingface").get_weights()
    assert any(np.abs(one - other).max() > 0.01 for one, other in zip(before, new, strict=True))


@pytest.mark.once
def test_single_texts_without_held_out_ones(singles, tmp_path, monkeypatch, capsys):
    command = ["--model", "distilbert_base", "--steps", "1", "--out", tmp_path / "run"]
    monkeypatch.setattr("kzoo.models.loading.load_config", lambda _: small_distilbert())
    code = call(monkeypatch, singles, *command, "--from-scratch", "--json")
    result = json.loads(capsys.readouterr().out)
    assert (code, result["held_out"]) == (0, None)
    config = json.loads((tmp_path / "run" / "huggingface" / "config.json").read_text())
    assert config["architectures"] == ["DistilBertForMaskedLM"]


def small_distilbert():
    return kzoo.models.DistilBertConfig(**SMALL)


def call(monkeypatch, *arguments):
    """Run `kzoo pretrain` in this process; return the exit code."""
    monkeypatch.setattr(sys, "argv", ["kzoo", "pretrain", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "int8"], "`precision` must be one of 'float32'"),
        (["--model", "bert_tinny"], "Did you mean 'bert_tiny'"),
        (["--model", "bert_tiny"], "Or train new weights with `--from-scratch`"),
        (["--warmup-steps", "9"], "`warmup_steps` must be below `total_steps`, 4"),
        (["--batch-size", "100000"], "`batch_size` must be at most the number of records"),
        (["--rate", "1.5"], "`rate` must be above 0 and below 1"),
        (["--masking", "letter"], "`masking` must be one of"),
    ],
)
def test_command_with_a_mistake_leaves_nothing(
    data, tmp_path, monkeypatch, capsys, options, message
):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    command = ["--model", tmp_path / "config.json", "--steps", "4", "--out", tmp_path / "run"]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert call(monkeypatch, data, *command, *options) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_vocabulary_of_a_configuration(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 301}))
    command = ["--model", tmp_path / "config.json", "--steps", "4", "--out", tmp_path / "run"]
    assert call(monkeypatch, data, *command) == 1
    assert "must be left out, or 300 as in the data" in " ".join(capsys.readouterr().err.split())


@pytest.mark.once
def test_precision_of_a_file_is_its_own(data, tmp_path, monkeypatch, capsys):
    kzoo.save(make_task(data), tmp_path / "task.keras")
    command = ["--model", tmp_path / "task.keras", "--steps", "1", "--out", tmp_path / "run"]
    assert call(monkeypatch, data, *command, "--precision", "mixed_bfloat16") == 1
    assert "`precision` must be 'float32', as in" in " ".join(capsys.readouterr().err.split())
    assert call(monkeypatch, data, *command, "--batch-size", BATCH) == 0


@pytest.mark.once
def test_data_of_another_model(data, singles, tmp_path):
    other = make_data(tmp_path, tokenizer=310)
    task = make_task(data)
    with pytest.raises(ValueError, match=r"vocabulary of the model.*300 tokens and records of 310"):
        pretrain(task, other, tmp_path / "run", 1, BATCH)
    without = make_task(data)
    without.tokenizer = None
    with pytest.raises(ValueError, match="the vocabulary of the model"):
        pretrain(without, other, tmp_path / "run", 1, BATCH)
    with pytest.raises(ValueError, match="at most the 16 tokens long that the model takes"):
        pretrain(make_task(data, max_length=16), data, tmp_path / "run", 1, BATCH)
    with pytest.raises(ValueError, match="`pair` of the task must be None for single texts"):
        pretrain(task, singles, tmp_path / "run", 1, BATCH)
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_places_that_cannot_hold_the_model(data, tmp_path, monkeypatch):
    task = make_task(data)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").touch()
    with pytest.raises(ValueError, match="`out` must be a new or empty folder"):
        pretrain(task, data, tmp_path / "full", 1, BATCH)
    usage = dataclasses.make_dataclass("Usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1000))
    with pytest.raises(OSError, match=r"room for the model, 0\.\d MB. Received: 0\.0 MB free"):
        pretrain(task, data, tmp_path / "new" / "run", 1, BATCH)
    assert not Path(tmp_path, "new").exists()
