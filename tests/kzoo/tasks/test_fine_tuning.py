"""Training of a classifier that is interrupted, stops early, weighs labels or fails."""

import json

import keras
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from kzoo.tasks import TextClassifier, TokenCrossentropy
from kzoo.tasks.text_batches import TextBatches
from kzoo.training import AdamW, EpochCheckpoint
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters


class Interrupt(keras.callbacks.Callback):
    """Stands for what kills a process in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at = epoch
        self.epoch = -1

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, 1):
            raise KeyboardInterrupt


def new(seed=0):
    keras.utils.set_random_seed(seed)
    backbone = tiny_backbone(with_tokenizer=True)
    return TextClassifier(backbone, list("abc"), length=40, dropout=0.2)


def fit(classifier, epochs=4, patience=2, **options):
    return classifier.fit(
        *letters(40),
        validation=letters(24, seed=1),
        epochs=epochs,
        batch_size=8,
        learning_rate=options.pop("learning_rate", 1e-3),
        patience=patience,
        verbose=0,
        **options,
    ).history


@pytest.mark.parametrize("patience", [None, 4])
def test_interrupted_training_ends_like_an_unbroken_one(tmp_path, patience):
    unbroken = new()
    expected = fit(unbroken, patience=patience)
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(new(), patience=patience, checkpoint=path, callbacks=[Interrupt(2)])
    # Another seed: all that is random comes from the file.
    continued = new(seed=9)
    epochs = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: seen.append(epoch))
    seen: list[int] = []
    assert fit(continued, patience=patience, checkpoint=path, callbacks=[epochs]) == expected
    assert seen == [2, 3]
    for ours, theirs in zip(continued.weights, unbroken.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))
    # Nothing is left to train, and the weights are the same ones again.
    again = new(seed=9)
    assert fit(again, patience=patience, checkpoint=path) == expected
    texts, _ = letters(9, seed=2)
    np.testing.assert_array_equal(
        again.predict(texts).probabilities, unbroken.predict(texts).probabilities
    )


def test_training_stops_and_ends_with_the_best_weights(tmp_path):
    path = tmp_path / "state.safetensors"
    classifier = new()
    # So high a rate that the first epochs are the best.
    history = fit(classifier, 30, patience=3, learning_rate=0.3, checkpoint=path)
    losses = history["val_loss"]
    assert len(losses) == np.argmin(losses) + 1 + 3 < 30
    loss = classifier.evaluate(*letters(24, seed=1)).loss
    assert loss == pytest.approx(min(losses), rel=1e-3)
    assert loss < losses[-1]
    # It does not go on where it had stopped.
    again = new()
    assert fit(again, 30, patience=3, learning_rate=0.3, checkpoint=path) == history
    assert again.evaluate(*letters(24, seed=1)).loss == loss


def test_infinite_loss_stops_and_keeps_whole_epochs(tmp_path):
    class Explode(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                head = self.model.get_layer("classifier")
                head.set_weights([np.full_like(each, np.nan) for each in head.get_weights()])

    path = tmp_path / "state.safetensors"
    classifier = new()
    with pytest.raises(
        ValueError,
        match=r"must be finite.*loss=nan in step 1 of epoch 3; .* the weights of epoch 2",
    ):
        fit(classifier, patience=None, checkpoint=path, callbacks=[Explode()])
    kept = EpochCheckpoint(path, json.loads(_metadata(path)["state"])["settings"])
    fresh = _compiled(new())
    assert kept.resume(fresh) == 2
    for ours, theirs in zip(classifier.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))


def _metadata(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata()


def _compiled(classifier):
    classifier.choose_optimizer(1e-3, 20)
    return classifier


@pytest.mark.once
def test_infinite_loss_of_the_first_epoch_keeps_the_weights():
    classifier = new()
    before = classifier.get_weights()
    with pytest.raises(ValueError, match=r"of epoch 1; .* weights that it began with"):
        fit(classifier, learning_rate=1e30)
    for ours, theirs in zip(classifier.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.once
def test_other_training_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    fit(new(), 1, checkpoint=path)
    with pytest.raises(ValueError, match=r"has learning_rate=0.001. Received: learning_rate=0.01"):
        fit(new(), 1, learning_rate=0.01, checkpoint=path)
    with pytest.raises(ValueError, match=r"has epochs=1. Received: epochs=2"):
        fit(new(), 2, checkpoint=path)
    # Weights of labels whose sums are the same are not the same.
    weights = {"class_weight": {"a": 0.5, "b": 1.5}}
    with pytest.raises(ValueError, match=r"has class_weight=\[1.0.*Received: class_weight=\[0.5"):
        fit(new(), 1, checkpoint=path, **weights)
    with pytest.raises(ValueError, match=r"has data='.*'. Received: data="):
        new().fit(*letters(41), epochs=1, batch_size=8, learning_rate=1e-3, checkpoint=path)
    # Whatever else is damaged is one error, and the model stays as it was.
    whole = path.read_bytes()
    for content in (whole[:1000], b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="an earlier run has written"):
            fit(new(), 1, checkpoint=path)
    tensors = safetensors.numpy.load(whole)
    path.write_bytes(whole)
    metadata = _metadata(path)
    tensors["model.00000"] = tensors["model.00000"][:1]
    safetensors.numpy.save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match="a model of the same sizes"):
        fit(new(), 1, checkpoint=path)


@pytest.mark.once
def test_file_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise safetensors.SafetensorError("No space left on device")

    class Fill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                monkeypatch.setattr(safetensors.numpy, "save_file", full)

    with pytest.raises(OSError, match=r"state\.safetensors could not be written: No space left"):
        fit(new(), patience=None, checkpoint=path, callbacks=[Fill()])
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert len(fit(new(), patience=None, checkpoint=path)["loss"]) == 4


@pytest.mark.once
def test_class_weights_are_those_of_pytorch():
    import torch

    texts, labels = letters(24)
    classifier = new()
    logits = torch.log(torch.from_numpy(classifier.predict(texts).probabilities))
    answers = torch.tensor(["abc".index(label) for label in labels])
    expected = torch.nn.functional.cross_entropy(
        logits, answers, weight=torch.tensor([3.0, 1.0, 0.5])
    )
    classifier.compile(keras.optimizers.SGD(0.0), TokenCrossentropy())
    given = {"class_weight": {"a": 3.0, "c": 0.5}}
    rows = TextBatches(
        classifier.tokenize(_texts(texts)), answers.numpy(), 24, 0, _weights(given, answers)
    )
    loss = classifier.test_on_batch(*rows[0])
    assert loss == pytest.approx(float(expected), rel=1e-5)


def _texts(texts):
    from kzoo.data.texts import read_texts

    return read_texts("x", texts)


def _weights(given, answers):
    from kzoo.tasks.text_fitting import _weights

    return _weights(given["class_weight"], answers.numpy(), ("a", "b", "c"))[answers.numpy()]


@pytest.mark.once
def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_sample_weight

    from kzoo.tasks.text_fitting import _weights

    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_sample_weight("balanced", labels)
    found = _weights("balanced", labels, tuple("abcd"))[labels]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "`patience` must be a positive integer"),
        ({"class_weight": {"d": 1.0}}, "`class_weight` must be labels .* Received: .*'d'"),
        ({"class_weight": {"a": -1.0}}, r"`class_weight\['a'\]` must be a positive number"),
        ({"class_weight": "even"}, "`class_weight` must be 'balanced'"),
        ({"initial_epoch": 1}, "`initial_epoch` is for arrays: `checkpoint`"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_mistakes_are_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        fit(new(), **options)


@pytest.mark.once
def test_patience_needs_validation():
    with pytest.raises(ValueError, match="`patience` needs `validation`"):
        new().fit(*letters(8), patience=1)
    with pytest.raises(ValueError, match="`checkpoint` is for texts"):
        new().fit({}, [], checkpoint="a")


@pytest.mark.once
def test_arrays_keep_their_class_weights():
    classifier = new()
    classifier.compile(AdamW(1e-3), TokenCrossentropy())
    inputs = classifier.tokenize(_texts(letters(8)[0]))
    history = classifier.fit(inputs, np.zeros(8), class_weight={0: 2.0, 1: 1.0, 2: 1.0}, verbose=0)
    assert len(history.history["loss"]) == 1


def test_text_of_100_000_characters_is_truncated() -> None:
    long, enough = "a" + " d" * 49_999, "a" + " d" * 60
    model = new()
    texts, labels = letters(16)
    model.fit([*texts, long], [*labels, "a"], epochs=1, batch_size=8, verbose=0)
    probabilities = model.predict([long, enough]).probabilities
    np.testing.assert_allclose(probabilities[0], probabilities[1], atol=1e-6)
