"""The heads of Hugging Face's checkpoints, of every family: the same logits, and back."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import kzoo
from kzoo.models import BackboneWithHead
from kzoo.models.heads import HEADS
from kzoo.weights import read_tensors
from tests.huggingface import reference
from tests.kzoo.models.contract import example_inputs, predict, real_positions
from tests.kzoo.models.families import CONVERTED, random_model, small_config
from tests.kzoo.models.tiny import tiny_backbone

CHECKPOINTS = {
    f"{name}-{head}": (name, head)
    for name, family in CONVERTED.items()
    for head in family.converter.architectures
    if head in HEADS
}


@pytest.fixture(scope="module")
def checkpoints() -> pathlib.Path:
    models = {
        key: random_model(name, seed, head)
        for seed, (key, (name, head)) in enumerate(CHECKPOINTS.items())
    }
    return reference("random", models=models, lengths=[12])


def arrays_of(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("key", CHECKPOINTS)
def test_logits_are_those_of_hugging_face(checkpoints, key):
    model = kzoo.load(checkpoints / key, strict=True, head=CHECKPOINTS[key][1])
    inputs = arrays_of(checkpoints / key / "inputs_12.npz")
    expected = arrays_of(checkpoints / key / "outputs_12.npz")["logits"]
    logits = predict(model, {name: inputs[name].astype("int32") for name in model.input})["logits"]
    real = real_positions(inputs)
    if logits.ndim == 3:
        logits, expected = logits[real], expected[real]
    # Logits are of size 1: the difference is rounding, in another order.
    np.testing.assert_allclose(logits, expected, atol=2e-5, rtol=0)


@pytest.mark.once
@pytest.mark.parametrize("key", CHECKPOINTS)
def test_checkpoint_goes_back_byte_by_byte(checkpoints, key, tmp_path):
    model = kzoo.load(checkpoints / key, strict=True, head=CHECKPOINTS[key][1])
    kzoo.save_huggingface(model, tmp_path / "back")
    before, after = read_tensors(checkpoints / key), read_tensors(tmp_path / "back")
    assert set(after) == set(before)
    for name, tensor in after.items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name)
    settings, written = (
        json.loads((folder / "config.json").read_text())
        for folder in (checkpoints / key, tmp_path / "back")
    )
    for name in ("architectures", "model_type", "id2label", "label2id"):
        assert written.get(name) == settings.get(name)


@pytest.mark.parametrize("key", [key for key in CHECKPOINTS if key.startswith("roberta")])
@pytest.mark.once
def test_keras_file_has_the_head(checkpoints, key, tmp_path):
    model = kzoo.load(checkpoints / key, head=CHECKPOINTS[key][1])
    kzoo.save(model, tmp_path / "model.keras")
    loaded = kzoo.load(tmp_path / "model.keras")
    assert isinstance(loaded, BackboneWithHead)
    assert (loaded.head, loaded.labels, loaded.config) == (model.head, model.labels, model.config)
    inputs = {name: example_inputs(9)[name] for name in model.input}
    expected = predict(model, inputs)["logits"]
    np.testing.assert_array_equal(predict(loaded, inputs)["logits"], expected)


@pytest.mark.once
def test_dropout_of_the_folder(tmp_path):
    model = BackboneWithHead(tiny_backbone(), "classifier", ["a", "b", "c"], dropout=0.3)
    kzoo.save_huggingface(model, tmp_path / "folder")
    loaded = kzoo.load(tmp_path / "folder", head="classifier")
    assert (loaded.dropout, loaded.labels) == (0.3, ("a", "b", "c"))


@pytest.mark.once
def test_missing_head_lists_what_is_missing(tmp_path):
    kzoo.save_huggingface(tiny_backbone(), tmp_path / "folder")
    with pytest.raises(ValueError, match=r"4 missing|5 missing from the file: cls\.predictions"):
        kzoo.load(tmp_path / "folder", head="masked_lm")


def without_pooler() -> Any:
    family = CONVERTED["bert"]
    return family.backbone_class(small_config(family, pooler=False))


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (tiny_backbone, {"head": "summary"}, "`head` must be .*Received: head='summary'"),
        (tiny_backbone, {"head": "classifier", "labels": 0}, "`labels` must be"),
        (tiny_backbone, {"head": "classifier", "labels": "good"}, "`labels` must be a list"),
        (tiny_backbone, {"head": "span", "dropout": 1.0}, "`dropout` must be"),
        (without_pooler, {"head": "classifier"}, "`backbone` must have the output `pooled`"),
        (lambda: 3, {"head": "span"}, "`backbone` must be a backbone of a family"),
    ],
)
def test_wrong_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        BackboneWithHead(make(), **arguments)


@pytest.mark.once
def test_presets_have_no_head():
    with pytest.raises(ValueError, match="`head` must be None but for a folder"):
        kzoo.load("bert_tiny", head="masked_lm")
