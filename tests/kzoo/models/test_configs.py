"""Configs hold Python's values, and subclasses of models keep the arguments they add."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import kzoo
from kzoo.models import BertBackbone, BertConfig, TransformerLM, TransformerLMConfig
from tests.arrays import to_numpy
from tests.conventions import usual_subclass

BERT = BertConfig(vocab_size=9, num_layers=1, num_heads=2, hidden_dim=4, mlp_dim=6, max_length=5)
LANGUAGE_MODEL = TransformerLMConfig(vocab_size=9, num_layers=1, hidden_dim=4, mlp_dim=6)
SCALARS = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_}
IDS = np.ones((1, 3), "int32")


@pytest.mark.once
@pytest.mark.parametrize("config", [BERT, LANGUAGE_MODEL], ids=lambda config: config.family)
def test_numpy_scalars_become_python_values(config):
    scalars = {
        field.name: SCALARS[field.type](getattr(config, field.name))
        for field in dataclasses.fields(config)
    }
    same = type(config)(**scalars)
    assert same == config
    assert json.loads(json.dumps(same.to_dict())) == config.to_dict()
    assert {name: type(value) for name, value in same.to_dict().items()} == {
        field.name: field.type for field in dataclasses.fields(config)
    }


@pytest.mark.once
@pytest.mark.parametrize(
    "wrong",
    [{"pooler": "no"}, {"activation": 3}, {"num_heads": np.array([2])}, {"mlp_dim": np.float64(4)}],
)
def test_other_types_are_errors(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"`{name}` must be a .* Received: {name}="):
        dataclasses.replace(BERT, **wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (BertBackbone, {"config": BERT, "dtype": "mixed_bfloat16"}),
        lambda: (TransformerLM, {"config": LANGUAGE_MODEL}),
        lambda: (kzoo.tasks.SentenceEncoder, {"backbone": BertBackbone(BERT)}),
    ],
    ids=["bert", "language_model", "encoder"],
)
def test_subclasses_keep_every_argument(make, tmp_path):
    base, arguments = make()
    subclass = usual_subclass(base)
    model = subclass(note="kept", name="model", **arguments)
    kzoo.save(model, tmp_path / "model.keras")
    with keras.saving.custom_object_scope({"Noted": subclass}):
        loaded = kzoo.load(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()
    assert loaded.note == "kept"
    inputs = dict.fromkeys(model.input, IDS)
    for name, output in model(inputs).items():
        np.testing.assert_array_equal(to_numpy(loaded(inputs)[name]), to_numpy(output))
