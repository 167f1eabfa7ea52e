"""From a table of labeled texts to a classifier in a folder, and back after an interruption."""

import json
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import kzoo
from kzoo.data.labeled import LabeledTexts, read_labeled
from kzoo.data.splitting import hashes_of, make_parts
from kzoo.tasks import TextClassifier, finetune
from kzoo_export import load_classifier
from tests.commands import failure_of, run_here
from tests.commands import run as run_command
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters

pytestmark = pytest.mark.once

COMPARED = ("scores", "history", "best_epoch")
FILES = {
    "README.md",
    "confusion.png",
    "curves.png",
    "calibration.jsonl",
    "held_out.jsonl",
    "huggingface",
    "model.keras",
    "run.json",
    "split.json",
}


def new(seed=0):
    keras.utils.set_random_seed(seed)
    return TextClassifier(tiny_backbone(with_tokenizer=True), list("abc"), length=40)


def parts(count=80):
    texts, labels = letters(count)
    unique = [f"{text} {index:b}" for index, text in enumerate(texts)]
    return make_parts({"all": LabeledTexts(unique, None, labels)}).parts


def run(classifier, out, epochs=3, **options):
    options = {"batch_size": 8, "learning_rate": 1e-3, **options}
    return finetune(classifier, parts(), out, epochs, **options)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("finetune") / "run"
    return out, run(new(), out, facts={"license": "MIT", "model": "tiny", "command": "this"})


def test_run_holds_what_was_made_and_measured(unbroken) -> None:
    out, result = unbroken
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "run.json").read_text()) == result
    held_out = read_labeled(out / "held_out.jsonl").parts["all"]
    calibration = read_labeled(out / "calibration.jsonl").parts["all"]
    hashes = json.loads((out / "split.json").read_text())
    assert hashes["test"] == hashes_of(held_out)
    assert hashes["train"] == hashes_of(calibration)
    assert {name: len(rows) for name, rows in hashes.items()} == result["rows"]
    assert not set(hashes["test"]) & {*hashes["train"], *hashes["validation"]}
    # What is written is what was measured.
    loaded = kzoo.load(out / "model.keras")
    scores = loaded.evaluate(held_out.x, held_out.labels)
    assert scores.loss == pytest.approx(result["scores"]["loss"], rel=1e-6)
    assert scores.confusion.tolist() == result["scores"]["confusion"]
    theirs = TextClassifier.from_huggingface(out / "huggingface", length=40)
    np.testing.assert_allclose(
        theirs.predict(held_out.x).probabilities,
        loaded.predict(held_out.x).probabilities,
        atol=1e-6,
    )
    best = int(np.argmin(result["history"]["val_loss"])) + 1
    assert (result["best_epoch"], result["epochs"]) == (best, 3)
    card = (out / "README.md").read_text()
    for fact in ("license: MIT", "base_model: tiny", f"{scores.accuracy:.4f}", "```sh\nthis\n"):
        assert fact in card
    for name in ("curves.png", "confusion.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_interrupted_run_ends_like_an_unbroken_one(unbroken, tmp_path) -> None:
    _, expected = unbroken
    facts = {"license": "MIT", "model": "tiny", "command": "this"}

    def stop(step, fraction):
        if step.startswith("epoch 2") and fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(new(), tmp_path / "run", progress=stop, facts=facts)
    with pytest.raises(ValueError, match=r"`out` must be of the same run.*model='tiny'.*'other'"):
        run(new(), tmp_path / "run", facts={**facts, "model": "other"})
    with pytest.raises(ValueError, match=r"has epochs=3. Received: epochs=4"):
        run(new(), tmp_path / "run", epochs=4, facts=facts)
    result = run(new(seed=5), tmp_path / "run", facts={**facts, "command": "another"})
    for name in COMPARED:
        assert result[name] == expected[name]
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    with pytest.raises(ValueError, match="`out` must be new, empty or not finished"):
        run(new(), tmp_path / "run", facts=facts)


def test_low_rank_changes_are_merged_and_counted(tmp_path) -> None:
    result = run(new(), tmp_path / "run", epochs=1, lora_rank=2, layer_decay=0.9)
    loaded = kzoo.load(tmp_path / "run" / "model.keras")
    assert loaded.count_params() == result["parameters"]
    assert f"{result['trained_parameters']:,} (LoRA)" in (tmp_path / "run/README.md").read_text()
    held_out = read_labeled(tmp_path / "run" / "held_out.jsonl").parts["all"]
    scores = loaded.evaluate(held_out.x, held_out.labels)
    assert scores.loss == pytest.approx(result["scores"]["loss"], rel=1e-5)


def test_mistakes_leave_nothing(tmp_path) -> None:
    out = tmp_path / "run"
    for options, message in (
        ({"epochs": 0}, "`epochs` must be a positive integer"),
        ({"learning_rate": -1.0}, "`learning_rate` must be a positive number"),
        ({"class_weight": {"z": 1.0}}, "`class_weight` must be labels"),
        ({"patience": 0}, "`patience` must be a positive integer"),
        ({"lora_rank": -1}, "`rank` must be a positive integer"),
        ({"layer_decay": 2.0}, "`decay` must be at most 1"),
    ):
        with pytest.raises(ValueError, match=message):
            run(new(), out, **options)
        assert not out.exists()
    without = {name: data for name, data in parts().items() if name != "validation"}
    with pytest.raises(ValueError, match="`patience` needs a part `validation`"):
        finetune(new(), without, out, patience=1)
    out.mkdir()
    (out / "other").touch()
    with pytest.raises(ValueError, match="`out` must be a new or empty folder"):
        run(new(), out)


def test_full_disk_is_said_before_training(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"The disk must have room for the model"):
        run(new(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def rows(*pairs):
    return LabeledTexts([text for text, _ in pairs], None, [label for _, label in pairs])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"all": rows(("x", "a"), ("y", "a"))},
            "two or more different.* to train on. Received: 'a'",
        ),
        (
            {"all": rows(("x", "a"), ("X", "b"))},
            "two or more different.* to train on. Received: no row",
        ),
        ({"all": rows(("x", "a"), ("y", "b"))}, "must have rows of test"),
        (
            {"train": rows(("x", "a"), ("y", "b")), "test": rows(("z", "c"))},
            "Each label must occur in train. Received: 'c' in test alone",
        ),
    ],
)
def test_data_without_use_are_named(data, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_parts(data, validation=0.0)


def test_commands(tmp_path) -> None:
    """`kzoo finetune`, `kzoo predict` and `kzoo export`, as a user runs them."""
    tiny_backbone(with_tokenizer=True).save(tmp_path / "tiny.keras")
    texts, labels = letters(120)
    lines = [
        f"{text} {index:b},{label}"
        for index, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    (tmp_path / "data.csv").write_text("\n".join(["utterance,topic", *lines]))
    out = tmp_path / "run"
    options = ["--length", 40, "--epochs", 12, "--learning-rate", 5e-3, "--batch-size", 8]
    command = ["finetune", tmp_path / "data.csv", "--model", tmp_path / "tiny.keras", "--out", out]
    kill_after_an_epoch([*command, *options], out)
    done = run_command(*command, *options)
    assert "text: utterance, label: topic" in done.stdout
    result = json.loads((out / "run.json").read_text())
    assert f"{result['scores']['accuracy']:.4f}" in done.stdout
    assert result["command"].startswith("kzoo finetune")
    unbroken = train_unbroken(tmp_path)
    assert {name: result[name] for name in COMPARED} == {name: unbroken[name] for name in COMPARED}

    records = json.loads(run_here("predict", out, "a dfe", "c hh", "--json"))
    expected = kzoo.load(out / "model.keras").predict(["a dfe", "c hh"])
    assert [record["label"] for record in records] == expected.labels
    found = [list(record["probabilities"].values()) for record in records]
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-5)
    (tmp_path / "texts.txt").write_text("a dfe\n\nc hh\n")
    run_here("predict", out, "--input", tmp_path / "texts.txt", "--output", tmp_path / "o.csv")
    data = read_labeled(tmp_path / "o.csv").parts["all"]
    assert data == LabeledTexts(["a dfe", "c hh"], None, expected.labels)
    for arguments, message in (
        ((tmp_path / "tiny.keras", "a"), "must be a classifier of texts"),
        ((out, "a", "--output", "x"), "`--output` must end in"),
        ((out,), "at least one text"),
        ((out, "a", "--text", "x"), "`--text` must come with an `--input` that has columns"),
    ):
        assert message in failure_of("predict", *arguments)

    run_here("export", out, tmp_path / "a.onnx")
    report = json.loads((tmp_path / "a.onnx.report.json").read_text())
    assert report["verification"]["outputs"][0]["name"] == "logits"
    rows = result["rows"]["test"]
    assert report["verification"]["samples"] == f"{rows} given texts with labels"
    accuracy = result["scores"]["accuracy"]
    assert report["verification"]["accuracies"] == [
        {"output": "logits", "model": accuracy, "file": accuracy, "metric": "accuracy"}
    ]
    records = json.loads(run_here("predict", tmp_path / "a.onnx", "a dfe", "c hh", "--json"))
    assert [record["label"] for record in records] == expected.labels
    predict_pairs(tmp_path / "a.onnx")


def kill_after_an_epoch(arguments, out) -> None:
    process = subprocess.Popen([sys.executable, "-m", "kzoo", *map(str, arguments)])
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert "begun" in json.loads((out / "run.json").read_text())


def train_unbroken(folder):
    """Do in this process what `test_commands` does by two commands."""
    keras.utils.set_random_seed(0)
    cleaned = make_parts(read_labeled(folder / "data.csv").parts)
    model = TextClassifier(kzoo.load(folder / "tiny.keras"), list("abc"), length=40)
    options = {"batch_size": 8, "learning_rate": 5e-3}
    return finetune(model, cleaned.parts, folder / "unbroken", 12, **options)


def predict_pairs(file) -> None:
    pairs = file.with_name("pairs.tsv")
    pairs.write_text("label\tpremise\thypothesis\nx\ta d\tf\nx\tc d\te\n")
    records = json.loads(run_here("predict", file, "--input", pairs, "--json"))
    assert [(record["text"], record["pair"]) for record in records] == [("a d", "f"), ("c d", "e")]
    expected = load_classifier(file).predict([("a d", "f"), ("c d", "e")])
    assert [record["label"] for record in records] == expected.labels
