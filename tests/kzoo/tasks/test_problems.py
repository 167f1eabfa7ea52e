"""Several labels of a text, and numbers: learned, scored beside scikit-learn and SciPy, refused."""

import keras
import numpy as np
import pytest

import kzoo
from kzoo.problems import PROBLEMS
from kzoo.tasks import TextClassifier
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters

NAMES = ("a", "b", "c")


def new(problem, **arguments):
    keras.utils.set_random_seed(0)
    labels = ["place"] if problem == "regression" else NAMES
    backbone = tiny_backbone(with_tokenizer=True)
    return TextClassifier(backbone, labels, 40, problem=problem, **arguments)


def many(count, seed=0):
    """Texts whose labels are their first letters, none of which a text may have too."""
    generator = np.random.default_rng(seed)
    there = generator.integers(0, 2, (count, 3))
    labels = [tuple(n for n, is_there in zip(NAMES, row, strict=True) if is_there) for row in there]
    return [" ".join(("d", *each)) for each in labels], labels, there


def numbers(count, seed=0):
    """Texts whose number is that of their first letter."""
    texts, labels = letters(count, seed)
    return texts, [float(NAMES.index(label)) for label in labels]


def fit(classifier, texts, labels, validation):
    return classifier.fit(
        *(texts, labels),
        validation=validation,
        epochs=20,
        batch_size=8,
        learning_rate=3e-3,
        verbose=0,
    ).history


def test_several_labels_are_learned_and_told():
    texts, labels, _ = many(160)
    others, answers, there = many(40, seed=1)
    classifier = new("multi_label", dropout=0.0)
    history = fit(classifier, texts, labels, (others, answers))
    scores = classifier.evaluate(others, answers)
    assert scores.micro_f1 > 0.9
    assert scores.loss == pytest.approx(history["val_loss"][-1], abs=1e-4)
    assert classifier.evaluate(others, there) == scores  # 0 and 1
    told = classifier.predict(others)
    probabilities = np.array(told.probabilities)
    expected = [tuple(np.array(NAMES)[row > 0.5]) for row in probabilities]
    assert told.labels == expected
    right = np.mean([each == answer for each, answer in zip(told.labels, answers, strict=True)])
    assert right == pytest.approx(scores.accuracy)
    assert () in answers  # A text may have none.


def test_numbers_are_learned_and_told():
    texts, labels = numbers(192)
    others, answers = numbers(64, seed=1)
    classifier = new("regression", dropout=0.0)
    history = fit(classifier, texts, labels, (others, answers))
    scores = classifier.evaluate(others, answers)
    assert scores.pearson > 0.9
    assert scores.loss == pytest.approx(history["val_loss"][-1], abs=1e-4)
    told = classifier.predict(others)
    assert (told.shape, told.dtype) == ((64,), np.float32)
    assert np.mean((told - answers) ** 2) == pytest.approx(scores.loss, rel=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_keras_file(problem, tmp_path):
    classifier = new(problem)
    classifier.save(tmp_path / "model.keras")
    loaded = kzoo.load(tmp_path / "model.keras")
    assert (loaded.problem, loaded.labels) == (problem, classifier.labels)
    texts, _, _ = many(8)
    told, expected = loaded.predict(texts), classifier.predict(texts)
    np.testing.assert_array_equal(np.asarray(told[-1]), np.asarray(expected[-1]))


@pytest.mark.once
def test_scores_of_several_labels_are_those_of_scikit_learn():
    from sklearn import metrics

    generator = np.random.default_rng(0)
    # The last label occurs neither in labels nor in predictions.
    logits = generator.normal(size=(50, 4)) * 20 - [0, 0, 0, 500]
    labels = generator.integers(0, 2, (50, 4)) * [1, 1, 1, 0]
    problem, chosen = PROBLEMS["multi_label"], logits > 0
    scores = problem.score(logits, labels, [*NAMES, "never"])
    assert scores.accuracy == metrics.accuracy_score(labels, chosen)
    assert scores.micro_f1 == pytest.approx(metrics.f1_score(labels, chosen, average="micro"))
    each = metrics.f1_score(labels, chosen, average=None, zero_division=0.0)
    assert list(scores.f1.values()) == pytest.approx(each.tolist())
    assert scores.macro_f1 == pytest.approx(each[:3].mean())
    probabilities = problem.predict(logits, [*NAMES, "never"]).probabilities
    likely = np.where(labels > 0, probabilities, 1.0 / (1.0 + np.exp(logits)))
    assert scores.loss == pytest.approx(-np.log(likely).mean(), rel=1e-9)


@pytest.mark.once
def test_scores_of_numbers_are_those_of_scipy():
    from scipy import stats

    generator = np.random.default_rng(0)
    true = generator.integers(0, 6, (50, 1)).astype("float32")  # with many of the same rank
    told = (true + generator.normal(size=(50, 1)).round(1)).astype("float32")
    scores = PROBLEMS["regression"].score(told, true, ["stars"])
    assert scores.loss == pytest.approx(float(np.mean((told - true) ** 2)), rel=1e-6)
    assert scores.pearson == pytest.approx(stats.pearsonr(told[:, 0], true[:, 0])[0], rel=1e-6)
    assert scores.spearman == pytest.approx(stats.spearmanr(told[:, 0], true[:, 0])[0], rel=1e-6)
    same = PROBLEMS["regression"].score(np.ones((50, 1)), true, ["stars"])
    assert (same.pearson, same.spearman) == (0.0, 0.0)


ARRAY = r"an array \(N, C\) of 0 and 1"


@pytest.mark.once
@pytest.mark.parametrize(
    ("problem", "labels", "message"),
    [
        ("multi_label", ["a", "b"], rf"`y` must be a list or tuple of labels.*{ARRAY}.*y\[0\]='a'"),
        ("multi_label", [("a",), ("d",)], r"labels of the classifier, 'a'.*'d' in y\[1\]"),
        ("multi_label", [[0, 1, 0], [1, 0, 0]], r"labels of the classifier, 'a'.*0 in y\[0\]"),
        ("multi_label", np.ones((2, 2)), rf"{ARRAY}, C=3.*shape \(2, 2\)"),
        ("multi_label", np.full((2, 3), 2), rf"{ARRAY}.*with 2"),
        (
            "multi_label",
            [("a",), ("a",)],
            r"two or more different.*\('a',\) alone",
        ),
        ("multi_label", [("a",)], "one label for each text.*2 texts, 1 labels"),
        ("multi_label", None, "`y` must be a list or tuple.*y=None"),
        ("regression", ["1", "2"], r"`y` must be numbers, finite.*y\[0\]='1'"),
        ("regression", [1.0, float("nan")], r"finite in float32.*y\[1\]=nan"),
        ("regression", [1.0, 1e39], r"finite in float32.*y\[1\]=1e\+39"),
        ("regression", [1.0, True], r"y\[1\]=True"),
        ("regression", np.ones((2, 2)), r"one number a text.*shape \(2, 2\)"),
        ("regression", [1, 1], "two or more different labels. Received: 1.0 alone"),
    ],
)
def test_wrong_labels(problem, labels, message):
    with pytest.raises(ValueError, match=message):
        new(problem).fit(["x", "y"], labels)


@pytest.mark.once
def test_arguments():
    backbone = tiny_backbone()
    with pytest.raises(ValueError, match="`labels` must be one name, that of the number"):
        TextClassifier(backbone, NAMES, 40, problem="regression")
    with pytest.raises(ValueError, match="`labels` must be different names"):
        TextClassifier(backbone, ["a", "a"], 40, problem="multi_label")
    with pytest.raises(ValueError, match=r"`problem` must be one of 'single_label'.*'ranking'"):
        TextClassifier(backbone, NAMES, 40, problem="ranking")
    with pytest.raises(ValueError, match="`problem` is for the head 'classifier'"):
        kzoo.models.BackboneWithHead(backbone, "token_classifier", NAMES, problem="regression")
    for weight in ("balanced", {"a": 2.0}):
        with pytest.raises(ValueError, match="`class_weight` is for texts of one label each"):
            new("multi_label").fit(["x", "y"], [("a",), ()], class_weight=weight)
