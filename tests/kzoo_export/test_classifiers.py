"""Files of classifiers: their accuracy beside the model's, and labels of texts from the file."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kzoo
from kzoo.problems import PROBLEMS
from kzoo.tasks import TextClassifier
from kzoo_export import export, inspect, load_classifier, quantize, verify
from kzoo_export.artifact.files import assets_of
from kzoo_export.artifact.verification import Accuracy
from kzoo_export.labels import Classes
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.families import BACKBONES, family_classifier
from tests.kzoo.tasks.letters import letters

LABELS = ["a", "b", "c"]
ROWS = 20
CLASSES = Classes("x", 3, PROBLEMS["single_label"], tuple(LABELS))


def classifier(**options: Any) -> TextClassifier:
    return TextClassifier(tiny_backbone(with_tokenizer=True), LABELS, length=16, **options)


@pytest.mark.parametrize(
    ("name", "sizes", "pairs"),
    [
        ("a.tflite", {"length": 16}, False),
        ("a.onnx", {"length": None, "batch_size": None}, True),
        ("a.onnx", {"length": 16, "batch_size": 4}, False),
    ],
    ids=["tflite", "open_pairs", "batches_of_4"],
)
def test_file_says_what_its_model_says(
    name: str, sizes: dict[str, Any], pairs: bool, tmp_path: Path
) -> None:
    model = classifier()
    texts: list[Any]
    texts, labels = letters(ROWS)
    if pairs:
        texts = [(text, text[::-1]) for text in texts]
    report = export(model, tmp_path / name, samples=(texts, labels), **sizes)
    expected = model.predict(texts)
    found = load_classifier(tmp_path / name).predict(texts, batch_size=3)
    assert found.labels == expected.labels
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    share = np.mean(np.array(expected.labels) == np.array(labels))
    (accuracy,) = report.verification.accuracies
    assert accuracy.model == accuracy.file == pytest.approx(share)
    assert f"{share:.4f}" in str(report)
    assert report.to_dict()["verification"]["accuracies"][0]["file"] == accuracy.file
    assert report.samples == f"{ROWS} given texts with labels"


@pytest.mark.once
def test_accuracy_is_that_of_the_file_and_not_of_the_model(tmp_path: Path) -> None:
    model = classifier()
    texts, _ = letters(ROWS)
    export(model, tmp_path / "a.onnx", length=16)
    labels = model.predict(texts).labels
    # From now on the model, but not the file, has one label for everything.
    least = min(LABELS, key=labels.count)
    model.weights[-1].assign([99.0 * (label == least) for label in LABELS])
    found = verify(tmp_path / "a.onnx", model, (texts, labels)).accuracies
    assert found == (Accuracy("logits", model=labels.count(least) / ROWS, file=1.0),)


@pytest.mark.once
def test_verify_counts_too_and_other_models_do_not_use_labels(tmp_path: Path) -> None:
    model = classifier()
    texts, labels = letters(ROWS)
    export(model, tmp_path / "a.onnx", length=16)
    assert len(verify(tmp_path / "a.onnx", model, (texts, labels)).accuracies) == 1
    assert not verify(tmp_path / "a.onnx", model, texts).accuracies
    backbone = tiny_backbone(with_tokenizer=True)
    report = export(backbone, tmp_path / "b.onnx", length=16, samples=(texts, labels))
    assert report.samples == f"{ROWS} given texts, labels not used"
    assert not report.verification.accuracies
    assert not assets_of(tmp_path / "b.onnx").exists()


@pytest.mark.once
@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "c"],
        [1, 0, 2],
        np.array([[1.0], [0.0], [2.0]]),
        np.eye(3, dtype="int8")[[1, 0, 2]],
    ],
    ids=["names", "indices", "column", "one_hot"],
)
def test_forms_of_labels(labels: Any) -> None:
    np.testing.assert_array_equal(CLASSES.read(labels, "samples"), [1, 0, 2])


@pytest.mark.once
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "d"], r"labels of the model, 'a', 'b', 'c'. Received: 'd'"),
        ([0, 3], r"labels from 0 to 2, the classes of 'x'. Received: 3 at 1"),
        ([0.0, 0.5], r"labels from 0 to 2, .* Received: 0.5 at 1"),
        (np.full((2, 3), 1 / 3), r"one label a sample, .* Received: labels of the shape \(2, 3\)"),
        ([["a"], ["b"]], r"one label a sample, .* Received: labels of the shape \(2, 1\)"),
    ],
)
def test_labels_that_are_no_class(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLASSES.read(labels, "samples")


@pytest.mark.once
def test_wrong_samples_of_a_classifier(tmp_path: Path) -> None:
    model = classifier()
    for given, message in (
        ((["a", "b"], ["a"]), "one label for each sample. Received: 2 samples, 1 labels"),
        ([("a", "b"), "c"], "pairs of texts alone. Received: a pair at 0, 'c' at 1"),
    ):
        with pytest.raises(ValueError, match=message):
            export(model, tmp_path / "a.onnx", length=16, samples=given)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_folder_belongs_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    export(classifier(), file, length=16)
    # Written again, the folder is that of the new labels.
    backbone = tiny_backbone(with_tokenizer=True)
    export(TextClassifier(backbone, ["x", "y"], length=16), file, length=16)
    assert set(load_classifier(file).predict(["a text"]).labels) <= {"x", "y"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"a.onnx{suffix}" for suffix in ("", ".assets", ".report.json", ".report.md")
    ]
    quantize(
        file,
        tmp_path / "b.onnx",
        "dynamic_int8",
        samples=["a text", "b"],
        tokenizer=backbone.tokenizer,
    )
    assert load_classifier(tmp_path / "b.onnx").labels == ("x", "y")
    assert inspect(tmp_path / "b.onnx").weight_bytes["int8"] > 0

    shutil.copyfile(tmp_path / "b.onnx", file)
    with pytest.raises(ValueError, match=r"the file that a.onnx.assets was written for. Received"):
        load_classifier(file)
    shutil.rmtree(assets_of(file))
    with pytest.raises(ValueError, match=r"with the folder a.onnx.assets beside it, .* Received"):
        load_classifier(file)
    with pytest.raises(ValueError, match="existing file"):
        load_classifier(tmp_path / "none.onnx")


@pytest.mark.once
def test_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*paths: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    from kzoo_export import ExportError

    with pytest.raises(ExportError, match="could not be written: No space left on device"):
        export(classifier(), tmp_path / "a.onnx", length=16)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
@pytest.mark.parametrize("family", BACKBONES)
def test_every_family_is_trained_and_exported(family: str, tmp_path: Path) -> None:
    """In every recipe by `make proof PROOF=coverage`."""
    model = family_classifier(family)
    texts, labels = letters(40, seed=1)
    given = {"samples": (texts, labels), "calibration": letters(40, seed=2)[0]}
    report = export(model, tmp_path / "a.onnx", "dynamic_int8", length=32, **given)
    (accuracy,) = report.verification.accuracies
    assert accuracy.model == model.evaluate(texts, labels).accuracy > 0.6
    assert load_classifier(tmp_path / "a.onnx").predict(["c dd"]).labels == ["c"]


@pytest.mark.once
def test_huggingface_classifier_keeps_its_names(tmp_path: Path) -> None:
    kzoo.save_huggingface(classifier(), tmp_path / "theirs")
    model = kzoo.load(tmp_path / "theirs", head="classifier")
    export(model, tmp_path / "a.onnx", length=None, samples=["a text", "b"])
    config = json.loads((assets_of(tmp_path / "a.onnx") / "labels.json").read_text())
    assert (config["labels"], config["length"]) == (LABELS, model.tokenizer.max_length)
