"""`kzoo finetune`, `predict` and `export` of several labels, and of numbers."""

import csv
import json

import numpy as np
import pytest

import kzoo
from kzoo.data.labeled import LabeledTexts, read_labeled
from kzoo.data.splitting import hash_of, make_parts
from kzoo.tasks import TextClassifier, finetune
from tests.commands import run_here
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.test_problems import many, numbers

pytestmark = pytest.mark.once
OPTIONS = ["--length", "40", "--epochs", "12", "--learning-rate", "5e-3", "--batch-size", "8"]


def write_many(folder):
    """A table with commas between labels, of which some texts have none."""
    texts, labels, _ = many(120)
    unique = [f"{text} {index:b}" for index, text in enumerate(texts)]
    with (folder / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["text", "topics"], *zip(unique, map(", ".join, labels), strict=True)]
        )
    return folder / "data.csv"


def write_numbers(folder):
    texts, labels = numbers(120)
    rows = enumerate(zip(texts, labels, strict=True))
    records = [{"text": f"{text} {index:b}", "stars": label} for index, (text, label) in rows]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, records)))
    return folder / "data.jsonl"


@pytest.mark.parametrize(
    ("problem", "write", "metric", "picture"),
    [
        ("multi_label", write_many, "micro F1", "f1.png"),
        ("regression", write_numbers, "Pearson", "predictions.png"),
    ],
)
def test_from_table_to_file(tmp_path, problem, write, metric, picture) -> None:
    tiny_backbone(with_tokenizer=True).save(tmp_path / "tiny.keras")
    data, out = write(tmp_path), tmp_path / "run"
    source = ["finetune", data, "--model", tmp_path / "tiny.keras"]
    told = run_here(*source, "--problem", problem, "--out", out, *OPTIONS)
    result = json.loads((out / "run.json").read_text())
    score = result["scores"]["micro_f1" if problem == "multi_label" else "pearson"]
    assert score > 0.5
    card = (out / "README.md").read_text()
    for page in (told, card):
        assert metric in page
        assert f"{score:.4f}" in page
        assert picture in page
    assert (out / picture).read_bytes().startswith(b"\x89PNG")
    # What was held out is read again as it was.
    held_out = read_labeled(out / "held_out.jsonl", problem=problem).parts["all"]
    model = kzoo.load(out / "model.keras")
    assert model.problem == problem
    assert list(model.labels) == (["a", "b", "c"] if problem == "multi_label" else ["stars"])
    again = model.evaluate(held_out.x, held_out.labels)
    assert again.loss == pytest.approx(result["scores"]["loss"], rel=1e-6)

    run_here("export", out, tmp_path / "a.onnx")
    report = json.loads((tmp_path / "a.onnx.report.json").read_text())
    (accuracy,) = report["verification"]["accuracies"]
    assert (accuracy["metric"], accuracy["model"]) == (metric, pytest.approx(score, abs=1e-6))
    verified = json.loads(run_here("verify", tmp_path / "a.onnx", out, "--json"))
    assert verified["accuracies"] == [accuracy]
    for each in (out, tmp_path / "a.onnx"):
        check_predictions(each, model, tmp_path / "o.csv")


def check_predictions(source, model, table) -> None:
    """Compare what `kzoo predict` prints and writes with the model."""
    texts, expected = ["a b c", "d"], model.predict(["a b c", "d"])
    records = json.loads(run_here("predict", source, *texts, "--json"))
    shown = run_here("predict", source, *texts)
    run_here("predict", source, *texts, "--output", table)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if model.problem == "regression":
        found = [record["value"] for record in records]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose([float(row["value"]) for row in rows], expected, atol=1e-5)
        assert f"{expected[0]:.4f}"[:5] in shown
        return
    assert [tuple(record["labels"]) for record in records] == expected.labels
    assert [row["labels"] for row in rows] == [",".join(each) for each in expected.labels]
    shares = [list(record["probabilities"].values()) for record in records]
    np.testing.assert_allclose(shares, expected.probabilities, atol=1e-5)
    for name, share in zip("abc", expected.probabilities[0], strict=True):
        assert (f"{share:.4f}"[:5] in shown) == (name in expected.labels[0])


@pytest.mark.parametrize(
    ("problem", "values", "labels"),
    [
        ("multi_label", ["b, a", "", "a"], [("a", "b"), (), ("a",)]),
        ("regression", ["1", "-2.5", "1e3"], [1.0, -2.5, 1000.0]),
    ],
)
def test_labels_of_tables_and_json_lines(tmp_path, problem, values, labels) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *zip("xyz", values, strict=True)])
    records = [{"text": text, "label": label} for text, label in zip("xyz", labels, strict=True)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    for name in ("a.csv", "a.jsonl"):
        found = read_labeled(tmp_path / name, problem=problem).parts["all"]
        assert found == LabeledTexts(["x", "y", "z"], None, labels, problem)
    assert hash_of({"all": found}) != hash_of({"all": found._replace(labels=labels[::-1])})


@pytest.mark.parametrize(
    ("problem", "value", "message"),
    [
        ("multi_label", "a,,b", r"`label` must be a list of strings .* label='a,,b' in line 2"),
        ("multi_label", {"a": 1}, r"`label` must be a list of strings"),
        ("multi_label", 1.5, r"`label` must be a list of strings"),
        ("regression", "many", r"`label` must be a number\. Received: label='many' in line 2"),
        ("regression", True, r"`label` must be a number"),
        ("regression", "nan", r"`label` must be a number"),
        ("single_label", ["a"], r"`label` must be a string or an integer"),
        ("single_label", 1.5, r"`label` must be a string or an integer"),
        ("ranking", "a", r"`problem` must be one of 'single_label', 'multi_label'"),
    ],
)
def test_labels_of_another_problem(tmp_path, problem, value, message) -> None:
    rows = [{"text": "x", "label": value}]
    (tmp_path / "a.jsonl").write_text("\n" + "\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=message):
        read_labeled(tmp_path / "a.jsonl", problem=problem)


def test_parts_have_all_labels_and_rows_of_each() -> None:
    texts, labels, _ = many(200)
    unique = [f"{text} {index:b}" for index, text in enumerate(texts)]
    data = LabeledTexts(unique, None, labels, "multi_label")
    parts = make_parts({"all": data}).parts
    for name in "abc":
        counts = {part: sum(name in each for each in parts[part].labels) for part in parts}
        assert counts["test"] == pytest.approx(
            0.25 * (counts["train"] + counts["validation"]), rel=0.3
        )
    conflict = LabeledTexts(["x", "X", "y"], None, [1.0, 2.0, 3.0], "regression")
    with pytest.raises(ValueError, match=r"two or more different.*on. Received: 3.0"):
        make_parts({"train": conflict, "test": conflict.take([2])._replace(texts=["z"])})
    unseen = data._replace(texts=["z"], labels=[("a", "z")])
    with pytest.raises(ValueError, match=r"occur in train. Received: 'z' in test alone"):
        make_parts({"train": data, "test": unseen})
    folder = TextClassifier(tiny_backbone(with_tokenizer=True), ["a", "b"], length=40)
    with pytest.raises(ValueError, match=r"`parts\['train'\]` must have labels of the problem"):
        finetune(folder, parts, "unused")
