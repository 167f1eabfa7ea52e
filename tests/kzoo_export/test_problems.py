"""Files of classifiers that tell several labels, or a number."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo.problems import PROBLEMS
from kzoo.tasks import TextClassifier
from kzoo_export import export, load_classifier, quantize, verify
from kzoo_export.artifact.compare import compare_output
from kzoo_export.labels import Classes
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters

NAMES = ("a", "b", "c")


def classifier(problem: str) -> TextClassifier:
    labels = NAMES if problem == "multi_label" else ["place"]
    backbone = tiny_backbone(with_tokenizer=True)
    return TextClassifier(backbone, labels, length=16, problem=problem)


def labels_of(problem: str, texts: list[str]) -> list[Any]:
    if problem == "regression":
        return [float(len(text)) for text in texts]
    return [tuple(name for name in NAMES if name in text) for text in texts]


@pytest.mark.parametrize(
    ("problem", "metric", "field"),
    [("multi_label", "micro F1", "micro_f1"), ("regression", "Pearson", "pearson")],
)
@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_file_tells_what_its_model_tells(
    problem: str, metric: str, field: str, suffix: str, tmp_path: Path
) -> None:
    model = classifier(problem)
    texts = letters(20)[0]
    labels, file = labels_of(problem, texts), tmp_path / f"a.{suffix}"
    report = export(model, file, length=16, samples=(texts, labels))
    (accuracy,) = report.verification.accuracies
    assert accuracy.model == pytest.approx(getattr(model.evaluate(texts, labels), field), abs=1e-5)
    assert accuracy.metric == metric
    assert metric in str(report)
    assert accuracy.file == pytest.approx(accuracy.model, abs=1e-5)
    (output,) = report.verification.outputs
    assert output.kind == PROBLEMS[problem].output_kind
    # Numbers have no largest one.
    assert output.agreement == (1.0 if problem == "multi_label" else None)
    told, expected = load_classifier(file).predict(texts), model.predict(texts)
    np.testing.assert_allclose(np.asarray(told[-1]), np.asarray(expected[-1]), atol=1e-5)
    if problem == "multi_label":
        assert told.labels == expected.labels
    else:
        assert told.shape == (20,)


@pytest.mark.once
@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_quantized_file_keeps_the_problem(problem: str, tmp_path: Path) -> None:
    model = classifier(problem)
    texts = letters(20)[0]
    export(model, tmp_path / "a.onnx", length=16, samples=texts)
    options = {"samples": texts, "tokenizer": model.tokenizer}
    quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", "dynamic_int8", **options)
    assert load_classifier(tmp_path / "b.onnx").problem == problem
    given = (texts, labels_of(problem, texts))
    assert len(verify(tmp_path / "b.onnx", model, given).accuracies) == 1


@pytest.mark.once
def test_models_of_others_by_kind(tmp_path: Path) -> None:
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, {"y": keras.layers.Dense(3, name="dense")(inputs)})
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    logits = model.predict(x, verbose=0)["y"]
    labels = (logits > 0).astype("int32")
    report = export(
        model, tmp_path / "a.onnx", samples=({"x": x}, labels), kinds={"y": "label_logits"}
    )
    (accuracy,) = report.verification.accuracies
    assert (accuracy.metric, accuracy.model, accuracy.file) == ("micro F1", 1.0, 1.0)
    with pytest.raises(ValueError, match=r"`labels of samples` must be .* of 0 and 1, C=3"):
        export(
            model, tmp_path / "b.onnx", samples=({"x": x}, labels + 1), kinds={"y": "label_logits"}
        )


@pytest.mark.once
def test_agreement_of_label_logits_is_of_all_labels_of_a_row() -> None:
    expected = np.array([[2.0, -1.0, 3.0], [1.0, 1.0, -1.0]], "float32")
    # The largest logits are the same, one label of the first row is not.
    actual = np.array([[2.0, 1.0, 3.0], [1.5, 1.0, -1.0]], "float32")
    assert compare_output("y", actual, expected, None, "label_logits").agreement == 0.5
    assert compare_output("y", actual, expected, None, "class_logits").agreement == 1.0


@pytest.mark.once
def test_forms_of_labels() -> None:
    several = Classes("y", 3, PROBLEMS["multi_label"], NAMES)
    expected = np.array([[1, 0, 1], [0, 0, 0]])
    forms: list[Any] = [[("a", "c"), ()], [["c", "a"], []], expected, expected > 0]
    for labels in forms:
        np.testing.assert_array_equal(several.read(labels, "samples"), expected)
    number = Classes("y", 1, PROBLEMS["regression"], ("stars",))
    forms = [[1, 2.5], np.array([1, 2.5]), np.array([[1], [2.5]], "float32")]
    for labels in forms:
        np.testing.assert_array_equal(number.read(labels, "samples"), [[1], [2.5]])
