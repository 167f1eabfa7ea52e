"""Pretraining: loss by loss beside Hugging Face's, and as an ordinary Keras model."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import kzoo
from kzoo.tasks import Pretraining
from kzoo.training import AdamW
from kzoo.weights import read_tensors
from tests.arrays import to_numpy
from tests.huggingface import SIZES, reference
from tests.huggingface_pretraining import compare
from tests.kzoo.models.families import CONVERTED, small_config

STEPS = 20
ADAM = {"lr": 1e-3, "weight_decay": 0.01, "eps": 1e-6}


@pytest.fixture(scope="module")
def theirs():
    return reference("pretrain", sizes=SIZES, shape=[6, 24, 5], steps=STEPS, optimizer=ADAM)


@pytest.fixture
def task(theirs):
    """The model that Hugging Face trained, as it was before."""
    return Pretraining.from_pretrained(theirs / "model")


def batches(folder):
    for step in range(STEPS):
        with np.load(folder / f"batch_{step}.npz") as arrays:
            batch = {name: arrays[name].astype("int32") for name in arrays}
        names = ("token_ids", "segment_ids", "padding_mask", "mask_positions")
        yield (
            {name: batch[name] for name in names},
            {"masked": batch["labels"], "pair": batch["pair"]},
            {
                "masked": batch["weights"].astype("float32"),
                "pair": np.ones(len(batch["pair"]), "float32"),
            },
        )


def test_losses_of_20_steps_are_hugging_faces(theirs, task):
    task.compile(AdamW(ADAM["lr"], ADAM["weight_decay"], epsilon=ADAM["eps"]))
    losses = []
    for x, y, weights in batches(theirs):
        logs = task.train_on_batch(x, y, weights, return_dict=True)
        task.reset_metrics()
        losses.append([logs["loss"], logs["masked_loss"], logs["pair_loss"]])
    expected = np.array(json.loads((theirs / "losses.json").read_text()))
    assert expected[-1, 0] != pytest.approx(expected[0, 0], rel=1e-2)
    np.testing.assert_allclose(np.array(losses, "float64"), expected, rtol=1e-4)


@pytest.mark.once
def test_transformers_loads_the_folder_strictly_with_the_same_logits(theirs, task, tmp_path):
    x, *_ = next(batches(theirs))
    kzoo.save_huggingface(task, tmp_path / "model")
    distance, info = compare(tmp_path / "model", task, x, tmp_path / "result")
    assert not any(info.values()), info
    # Logits of size 1: rounding, in another order.
    assert distance < 2e-5


@pytest.mark.once
def test_folder_goes_back_byte_by_byte(theirs, task, tmp_path):
    kzoo.save_huggingface(task, tmp_path / "back")
    before, after = read_tensors(theirs / "model"), read_tensors(tmp_path / "back")
    assert set(after) == set(before)
    for name, tensor in after.items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name)
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"]


@pytest.mark.once
def test_heads_that_a_folder_has_not_are_new(theirs, task, tmp_path):
    kzoo.save_huggingface(Pretraining.from_pretrained(theirs / "model", None), tmp_path / "one")
    made = Pretraining.from_pretrained(tmp_path / "one", None)
    x, *_ = next(batches(theirs))
    np.testing.assert_array_equal(*(to_numpy(each(x)["masked"]) for each in (made, task)))
    assert "pooled" not in kzoo.load(tmp_path / "one").output
    kzoo.save_huggingface(kzoo.load(theirs / "model"), tmp_path / "none")
    made = Pretraining.from_pretrained(tmp_path / "none")
    bias = made.get_layer("masked_lm").bias
    assert not to_numpy(bias).any()


@pytest.mark.once
def test_keras_files_are_loaded_as_what_they_are(theirs, task, tiny, tmp_path):
    kzoo.save(task, tmp_path / "task.keras")
    kzoo.save(tiny, tmp_path / "backbone.keras")
    x, *_ = next(batches(theirs))
    made = Pretraining.from_pretrained(tmp_path / "task.keras")
    np.testing.assert_array_equal(*(to_numpy(each(x)["pair"]) for each in (made, task)))
    assert Pretraining.from_pretrained(tmp_path / "backbone.keras", None).pair is None
    with pytest.raises(ValueError, match=r"`pair` must be 'next_sentence'.*Received: pair=None"):
        Pretraining.from_pretrained(tmp_path / "task.keras", None)


@pytest.mark.once
def test_heads_without_a_class_of_hugging_face_are_refused(tmp_path):
    roberta = CONVERTED["roberta"]
    backbone = roberta.backbone_class(small_config(roberta))
    task = Pretraining(backbone)
    with pytest.raises(ValueError, match=r"The head on a RobertaModel must be one.*'pretraining'"):
        kzoo.save_huggingface(task, tmp_path / "folder")
    assert not list(tmp_path.iterdir())
    kzoo.save_huggingface(Pretraining(backbone, None), tmp_path / "folder")


@pytest.fixture
def tiny(theirs):
    return kzoo.load(theirs / "model", weights="random")


def test_fit_logs_both_losses_and_accuracies(theirs, tiny):
    x, y, weights = next(batches(theirs))
    task = Pretraining(tiny)
    task.compile(AdamW(1e-2))
    logs = task.fit(x, y, sample_weight=weights, epochs=30, verbose=0).history
    names = {"loss", "masked_loss", "pair_loss", "masked_accuracy", "pair_accuracy"}
    assert set(logs) == names
    assert logs["loss"][-1] < 0.2 * logs["loss"][0]
    assert logs["masked_accuracy"][-1] > 0.9


def test_padding_and_unused_predictions_weigh_nothing(theirs, tiny):
    """Neither padding nor the predictions that are none."""
    x, y, weights = next(batches(theirs))
    assert (weights["masked"] == 0).any()
    assert (x["padding_mask"] == 0).any()
    task = Pretraining(tiny)
    task.compile()
    expected = task.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    x = {**x, "token_ids": np.where(x["padding_mask"] == 1, x["token_ids"], 7)}
    y = {**y, "masked": np.where(weights["masked"] == 1, y["masked"], 7)}
    result = task.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert result == pytest.approx(expected, rel=1e-5)


def test_float16_scales_its_losses(theirs, tiny):
    x, y, weights = next(batches(theirs))
    task = Pretraining(type(tiny)(tiny.config, dtype="mixed_float16"))
    task.compile(AdamW(1e-2, global_clipnorm=1.0))
    assert isinstance(task.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = [task.train_on_batch(x, y, weights)[0] for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("pair", ["next_sentence", None])
def test_keras_file(theirs, tiny, tmp_path, pair):
    x, *_ = next(batches(theirs))
    task = Pretraining(tiny, pair)
    assert sorted(task.output) == (["masked", "pair"] if pair else ["masked"])
    paths = {weight.path.split("/")[0] for weight in task.weights}
    assert ("pooler" in paths) == ("next_sentence" in paths) == (pair is not None)
    task.compile(AdamW())
    task.save(tmp_path / "task.keras")
    loaded = keras.saving.load_model(tmp_path / "task.keras")
    assert isinstance(loaded, Pretraining)
    assert isinstance(loaded.optimizer, AdamW)
    for name, expected in task(x).items():
        np.testing.assert_array_equal(to_numpy(loaded(x)[name]), to_numpy(expected))


def test_backbones_that_do_not_fit(theirs, tiny):
    without = type(tiny)(dataclasses.replace(tiny.config, pooler=False))
    assert list(Pretraining(without, pair=None).output) == ["masked"]
    with pytest.raises(ValueError, match="`backbone` must have the output `pooled`"):
        Pretraining(without)
    with pytest.raises(ValueError, match="`pair` must be one of 'next_sentence', None"):
        Pretraining(tiny, "order")
    with pytest.raises(ValueError, match="`backbone` must be a backbone of a family"):
        Pretraining(keras.Sequential())
