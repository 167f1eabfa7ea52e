"""Texts to labels: learned, ordered, saved, refused; scores beside scikit-learn's."""

import json
import random

import keras
import numpy as np
import pytest

import kzoo
from kzoo.problems import PROBLEMS
from kzoo.tasks import TextClassifier, TokenCrossentropy
from kzoo.tasks.text_batches import TextBatches
from kzoo.training import AdamW
from kzoo_export import export
from tests.arrays import to_numpy
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters
from tests.reference.basics import softmax

# Compiled backends have four to an octave.
WIDTHS = {
    False: {16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112},
    True: {*range(1, 33), *range(34, 65, 2), *range(68, 129, 4)},
}
LABELS = ["bad", "so so", "good"]


def new(labels=("a", "b", "c"), **arguments):
    return TextClassifier(tiny_backbone(with_tokenizer=True), labels, length=40, **arguments)


def test_texts_are_learned_and_scored():
    texts, labels = letters(192)
    others, answers = letters(64, seed=1)
    classifier = new(dropout=0.0)
    history = classifier.fit(
        *(texts, labels),
        validation=(others, answers),
        epochs=20,
        batch_size=8,
        learning_rate=3e-3,
        verbose=0,
    ).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    scores = classifier.evaluate(others, answers)
    assert scores.accuracy > 0.9
    # Keras counts all batches alike, and all of them are full.
    assert scores.accuracy == pytest.approx(history["val_accuracy"][-1], abs=1e-6)
    assert scores.loss == pytest.approx(history["val_loss"][-1], abs=1e-4)
    predicted = classifier.predict(others)
    assert np.mean(np.array(predicted.labels) == answers) == pytest.approx(scores.accuracy)
    np.testing.assert_allclose(predicted.probabilities.sum(axis=1), 1.0, rtol=1e-6)
    # Arrays are for Keras, as with any model.
    inputs = classifier.tokenizer(others[:16], length=40)
    logits = classifier.predict(inputs, verbose=0)["logits"]
    assert [LETTERS[index] for index in logits.argmax(axis=1)] == predicted.labels[:16]


LETTERS = "abc"


@pytest.mark.once
def test_same_seed_same_scores_another_seed_another_order():
    texts, labels = letters(40)

    def losses(state=0, **options):
        keras.utils.set_random_seed(0)
        classifier = new()
        random.seed(state)  # Keras orders what it shuffles itself by it.
        fitted = classifier.fit(texts, labels, epochs=2, batch_size=8, verbose=0, **options)
        return fitted.history["loss"]

    assert losses() == losses(state=1, seed=0)
    assert losses() != losses(seed=1)


@pytest.mark.once
def test_pairs_are_told_apart_by_segment():
    texts, labels = letters(24)
    pairs = [("x", text) for text in texts]
    classifier = new()
    classifier.fit(pairs, labels, epochs=1, batch_size=8, verbose=0)
    inputs = classifier.tokenizer(*map(list, zip(*pairs, strict=True)), length=40)
    assert inputs["segment_ids"].any()
    logits = classifier.predict(inputs, verbose=0)["logits"]
    chosen = [LETTERS[index] for index in logits.argmax(axis=1)]
    assert classifier.predict(pairs).labels == chosen
    assert classifier.evaluate(pairs, labels).confusion.sum() == 24


@pytest.mark.once
def test_batches_hold_every_text_once_an_epoch():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    mask = (np.arange(128) < lengths[:, None]).astype("int32")
    inputs = {"padding_mask": mask, "token_ids": np.arange(1000)[:, None] * mask}
    batches = TextBatches(inputs, np.arange(1000), 32, seed=0)
    orders = []
    for _ in range(2):
        read = [batches[index] for index in range(len(batches))]
        assert {len(labels) for _, labels, _ in read} == {32}
        rows = np.concatenate([labels[weights == 1] for _, labels, weights in read])
        assert sorted(rows) == list(range(1000))
        for arrays, labels, _ in read:
            np.testing.assert_array_equal(arrays["padding_mask"].sum(axis=1), lengths[labels])
            assert arrays["token_ids"].shape[1] in WIDTHS[keras.config.backend() == "torch"]
        # Sorted, so that little is padded: of rows in random order half would be.
        real, padded = lengths.sum(), sum(arrays["padding_mask"].size for arrays, *_ in read)
        assert real / padded > 0.6
        orders.append(rows.tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1]


@pytest.mark.once
def test_padding_in_front_is_kept(tmp_path):
    backbone = tiny_backbone(with_tokenizer=True)
    backbone.tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "padding_side": "left"}))
    backbone.tokenizer = kzoo.data.Tokenizer.from_folder(tmp_path)
    texts = ["short", "a text of more letters than that"]
    inputs = backbone.tokenizer(texts, length=40)
    assert inputs["padding_mask"][0, 0] == 0
    classifier = TextClassifier(backbone, LABELS, length=40)
    logits = to_numpy(classifier(inputs)["logits"])
    expected = softmax(logits)
    np.testing.assert_allclose(classifier.predict(texts).probabilities, expected, atol=1e-6)
    encoder = kzoo.tasks.SentenceEncoder(backbone)
    vectors = to_numpy(encoder(inputs)["embedding"])
    np.testing.assert_allclose(encoder.encode(texts, length=40), vectors, atol=1e-6)


@pytest.mark.once
def test_keras_file(tmp_path):
    classifier = new(name="letters")
    classifier.save(tmp_path / "letters.keras")
    loaded = kzoo.load(tmp_path / "letters.keras")
    assert isinstance(loaded, TextClassifier)
    assert (loaded.labels, loaded.length, loaded.name) == (("a", "b", "c"), 40, "letters")
    texts, labels = letters(8)
    np.testing.assert_array_equal(
        loaded.predict(texts).probabilities, classifier.predict(texts).probabilities
    )
    # The rate of training has fallen to 0; training of what was saved begins anew.
    loaded.fit(texts, labels, epochs=1, verbose=0)
    loaded.save(tmp_path / "trained.keras")
    trained = keras.saving.load_model(tmp_path / "trained.keras")  # with its optimizer
    assert trained.compiled
    before = trained.predict(texts).probabilities
    trained.fit(texts, labels, epochs=1, learning_rate=1e-3, verbose=0)
    assert np.abs(trained.predict(texts).probabilities - before).max() > 1e-4
    # What the user has compiled stays.
    trained.compile(AdamW(1e-3), TokenCrossentropy())
    trained.fit(texts, labels, epochs=1, verbose=0)
    trained.save(tmp_path / "compiled.keras")
    with pytest.raises(ValueError, match="`learning_rate` is that of the optimizer"):
        keras.saving.load_model(tmp_path / "compiled.keras").fit(texts, labels, learning_rate=1.0)


@pytest.mark.once
def test_export_compares_logits(tmp_path):
    texts, _ = letters(32)
    report = export(new(), tmp_path / "letters.tflite", length=40, samples=texts)
    (output,) = report.verification.outputs
    assert (output.name, output.kind, output.agreement) == ("logits", "class_logits", 1.0)


@pytest.mark.once
def test_scores_are_those_of_scikit_learn():
    from sklearn import metrics

    generator = np.random.default_rng(0)
    # The last label occurs neither in labels nor in predictions.
    logits = np.concatenate([generator.normal(size=(50, 3)), np.full((50, 1), -9.0)], axis=1)
    labels = generator.integers(0, 3, 50)
    scores = PROBLEMS["single_label"].score(logits, labels, [*LABELS, "never"])
    chosen = logits.argmax(axis=1)
    assert scores.accuracy == metrics.accuracy_score(labels, chosen)
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(labels, chosen, average="macro"))
    assert list(scores.f1.values())[:3] == pytest.approx(
        metrics.f1_score(labels, chosen, average=None).tolist()
    )
    np.testing.assert_array_equal(
        scores.confusion[:3, :3], metrics.confusion_matrix(labels, chosen)
    )
    assert scores.loss == pytest.approx(
        metrics.log_loss(labels, softmax(logits), labels=[0, 1, 2, 3]), rel=1e-6
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.fit(["a", " "], ["a", "b"]), r"`x` must not have empty texts.*x\[1\]=' '"),
        (lambda c: c.fit(["a", 3], ["a", "b"]), r"`x` must be a list of strings.*x\[1\]"),
        (lambda c: c.fit(["a", "b"], ["a", "d"]), r"`y` must be labels.*'c'.*y\[1\]='d'"),
        (lambda c: c.fit(["a", "b"], [0, 3]), r"`y` must be labels.*y\[1\]=3"),
        (lambda c: c.fit(["a", "b"], [0, True]), r"y\[1\]=True"),
        (
            lambda c: c.fit(["a", "b"], ["a", "a"]),
            "two or more different labels. Received: 'a' alone",
        ),
        (lambda c: c.fit(["a", "b"], ["a"]), "one label for each text.*2 texts, 1 labels"),
        (lambda c: c.fit(["a"], []), "one label for each text.*1 texts, 0 labels"),
        (lambda c: c.fit(["a"], ["a"], shuffle=True), "`shuffle` is for arrays: `seed`"),
        (lambda c: c.fit(["a"], ["a"], validation_data=0), "`validation_data` is for arrays"),
        (lambda c: c.fit(["a"], ["a"], steps_per_epoch=1), "an epoch has all texts. Received"),
        (lambda c: c.fit(["a", "b", "c"], ["a", "b"]), "one label for each text.*3 texts, 2"),
        (lambda c: c.fit(["a", "b"]), "`y` must be a list of labels. Received: y=None"),
        (lambda c: c.fit([("a", "b"), "c"], ["a", "b"]), r"x\[0\] a pair, x\[1\]='c'"),
        (lambda c: c.fit(["a", "b"], ["a", "b"], epochs=0), "`epochs` must be a positive"),
        (lambda c: c.fit({}, [], learning_rate=1.0), "`learning_rate` is for texts"),
        (lambda c: c.evaluate(["a"], ["b", "a"]), "one label for each text"),
        (lambda c: c.predict([""]), r"`x` must not have empty texts"),
        (lambda c: c.predict("a text"), "`x` must be a list of strings"),
    ],
)
def test_mistakes_are_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call(new())


@pytest.mark.once
def test_arguments():
    backbone = tiny_backbone()
    for labels in (["a"], ["a", "a"], "ab"):
        with pytest.raises(ValueError, match="`labels` must be two or more different names"):
            TextClassifier(backbone, labels)
    with pytest.raises(ValueError, match=r"`length` must be at most 64"):
        TextClassifier(backbone, LABELS, length=65)
    with pytest.raises(ValueError, match="Texts need a tokenizer"):
        TextClassifier(backbone, LABELS, length=64).predict(["a"])
    classifier = new()
    classifier.compile("sgd", TokenCrossentropy())
    with pytest.raises(ValueError, match="`learning_rate` is that of the optimizer"):
        classifier.fit(["a", "b"], ["a", "b"], learning_rate=1e-3)
