"""Configs hold Python's values, and subclasses of models keep the arguments they add."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import kzoo
from kzoo.models import BertBackbone, BertConfig, TransformerLM, TransformerLMConfig
from tests.arrays import to_numpy

BERT = BertConfig(vocab_size=9, num_layers=1, num_heads=2, hidden_dim=4, mlp_dim=6, max_length=5)
LANGUAGE_MODEL = TransformerLMConfig(vocab_size=9, num_layers=1, hidden_dim=4, mlp_dim=6)
SCALARS = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_}
IDS = np.ones((1, 3), "int32")


@keras.saving.register_keras_serializable("test")
class Bert(BertBackbone):
    def __init__(self, config, factor=1.0, **kwargs):
        super().__init__(config, **kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("test")
class LanguageModel(TransformerLM):
    def __init__(self, config, factor=1.0, **kwargs):
        super().__init__(config, **kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("test")
class Encoder(kzoo.tasks.SentenceEncoder):
    def __init__(self, backbone, factor=1.0, **kwargs):
        super().__init__(backbone, **kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


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
        lambda: Bert(BERT, factor=2.0, dtype="mixed_bfloat16", name="model"),
        lambda: LanguageModel(LANGUAGE_MODEL, factor=2.0, name="model"),
        lambda: Encoder(BertBackbone(BERT), factor=2.0, name="model"),
    ],
    ids=["bert", "language_model", "encoder"],
)
def test_subclasses_keep_every_argument(make, tmp_path):
    model = make()
    kzoo.save(model, tmp_path / "model.keras")
    loaded = kzoo.load(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()
    assert loaded.factor == 2.0
    inputs = dict.fromkeys(model.input, IDS)
    for name, output in model(inputs).items():
        np.testing.assert_array_equal(to_numpy(loaded(inputs)[name]), to_numpy(output))
