"""Every preset, by enumeration."""

import dataclasses
import json
import subprocess
import sys

import pytest

import kzoo
from kzoo.models import PRESETS, BertBackbone, BertConfig
from tests.kzoo.models.contract import check_backbone

# From the models' papers and cards, pooler included.
PUBLISHED = {
    "bert_tiny": 4_385_920,
    "bert_mini": 11_170_560,
    "bert_small": 28_763_648,
    "bert_medium": 41_373_184,
    "bert_base": 109_482_240,
    "bert_large": 335_141_888,
    "minilm_l6_v2": 22_713_216,
}


def shrunk(config) -> BertConfig:
    """The same shape of model, small enough to train in a test."""
    return dataclasses.replace(
        config,
        vocab_size=40,
        num_layers=min(config.num_layers, 2),
        num_heads=min(config.num_heads, 3),
        hidden_dim=8 * min(config.num_heads, 3),
        mlp_dim=20,
        max_length=12,
    )


SMALL = {name: shrunk(preset.config) for name, preset in PRESETS.items()}
CONTRACTS = {
    "minilm_l6_v2": SMALL["minilm_l6_v2"],
    "no_pooler": dataclasses.replace(SMALL["minilm_l6_v2"], pooler=False),
}


@pytest.mark.once
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_published_number_of_weights(name):
    assert PRESETS[name].config.num_parameters == PRESETS[name].num_parameters == PUBLISHED[name]


@pytest.mark.once
def test_the_presets_are_listed():
    assert kzoo.list_models() == list(PUBLISHED)
    json.dumps({name: preset.to_dict() for name, preset in PRESETS.items()})


@pytest.mark.once
@pytest.mark.parametrize("name", ["bert_tiny", "bert_mini", "minilm_l6_v2"])
def test_an_untrained_preset_has_as_many_weights_as_its_config_says(name):
    model = kzoo.load(name, weights="random")
    assert model.count_params() == PRESETS[name].num_parameters
    assert model.name == name


@pytest.mark.once
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_built(name):
    assert BertBackbone(SMALL[name]).count_params() == SMALL[name].num_parameters


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_backbone_keeps_the_contract(name, tmp_path):
    config = CONTRACTS[name]
    outputs = {"pooled": (None, config.hidden_dim)} if config.pooler else {}
    check_backbone(BertBackbone(config, name=f"small_{name}"), tmp_path, **outputs)


@pytest.mark.once
def test_the_presets_are_listed_without_keras():
    script = (
        "import sys, kzoo.models as m; m.PRESETS['bert_base'].to_dict(); m.list_models();"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.once
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_layers", 0),
        ("hidden_dim", -1),
        ("vocab_size", 1.5),
        ("num_heads", True),
        ("num_heads", 5),
        ("dropout", 1.0),
        ("attention_dropout", -0.1),
        ("norm_epsilon", 0.0),
        ("init_std", "small"),
    ],
)
def test_a_wrong_size_is_one_clear_error(field, value):
    with pytest.raises(ValueError, match=rf"`{field}`.*Received: .*{field}={value!r}") as caught:
        BertConfig(**{field: value})
    assert "\n" not in str(caught.value)
