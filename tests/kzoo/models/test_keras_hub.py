"""The bridge to KerasHub: the same hidden states on both sides, in both directions."""

import dataclasses
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

import kzoo
from kzoo.models.families import FAMILIES
from tests.arrays import to_numpy
from tests.kzoo.models.contract import example_inputs, predict, randomize, real_positions
from tests.kzoo.models.families import small_config

SIZES = {
    "vocabulary_size": 40,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 24,
    "intermediate_dim": 20,
    "max_sequence_length": 12,
}
FAMILY = {
    "BertBackbone": "bert",
    "DistilBertBackbone": "distilbert",
    "RobertaBackbone": "roberta",
}
# What KerasHub computes where Hugging Face's default is another.
THEIRS: dict[str, dict[str, Any]] = {
    "bert": {"activation": "gelu_tanh"},
    "distilbert": {},
    "roberta": {"pooler": False},
}


def hidden_of(hub: keras.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = hub({name: inputs[name] for name in hub.input}, training=False)
    if not isinstance(outputs, dict):
        return {"hidden": to_numpy(outputs)}
    return {
        "hidden": to_numpy(outputs["sequence_output"]),
        "pooled": to_numpy(outputs["pooled_output"]),
    }


def check_same(model: keras.Model, hub: keras.Model) -> None:
    inputs = example_inputs(40)
    expected = hidden_of(hub, inputs)
    outputs = predict(model, {name: inputs[name] for name in model.input})
    assert set(outputs) == set(expected)
    real = real_positions(inputs)
    # Hidden states are of size 1: the difference is rounding, in another order.
    np.testing.assert_allclose(outputs["hidden"][real], expected["hidden"][real], atol=2e-5, rtol=0)
    if "pooled" in expected:
        np.testing.assert_allclose(outputs["pooled"], expected["pooled"], atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILY)
def test_from_keras_hub_and_back(name):
    hub = getattr(keras_hub.models, name)(**SIZES)
    randomize(hub)
    model = kzoo.from_keras_hub(hub)
    assert model.config.family == FAMILY[name]
    assert model.name == hub.name
    check_same(model, hub)
    again = kzoo.to_keras_hub(model)
    assert type(again) is type(hub)
    assert again.get_config() == hub.get_config()
    for ours, theirs in zip(again.weights, hub.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs), err_msg=theirs.path)


@pytest.mark.parametrize("family", THEIRS)
def test_to_keras_hub(family):
    model = FAMILIES[family].backbone_class(small_config(FAMILIES[family], **THEIRS[family]))
    randomize(model)
    check_same(model, kzoo.to_keras_hub(model))


@pytest.mark.once
def test_model_from_keras_hub_goes_to_hugging_face(tmp_path):
    hub = keras_hub.models.RobertaBackbone(**SIZES)
    model = kzoo.from_keras_hub(hub, name="mine")
    assert model.name == "mine"
    kzoo.save_huggingface(model, tmp_path / "folder")
    check_same(kzoo.load(tmp_path / "folder"), hub)


@pytest.mark.once
@pytest.mark.parametrize("backbone", [keras.Sequential([keras.Input((2,))]), 3])
def test_other_models_are_refused(backbone):
    with pytest.raises(ValueError, match=r"`backbone` must be a BertBackbone, .* of KerasHub"):
        kzoo.from_keras_hub(backbone)
    with pytest.raises(ValueError, match="`model` must be a backbone of bert, "):
        kzoo.to_keras_hub(backbone)


@pytest.mark.once
@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        ("bert", "activation", "gelu"),
        ("bert", "pooler", False),
        ("bert", "attention_dropout", 0.0),
        ("roberta", "pooler", True),
        ("distilbert", "norm_epsilon", 1e-6),
    ],
)
def test_what_keras_hub_does_not_compute_is_refused(family, field, value):
    config = small_config(FAMILIES[family], **THEIRS[family])
    model = FAMILIES[family].backbone_class(dataclasses.replace(config, **{field: value}))
    with pytest.raises(ValueError, match=f"`{field}` must be .*Received: {field}={value!r}"):
        kzoo.to_keras_hub(model)
