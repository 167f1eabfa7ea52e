"""Every preset, by enumeration."""

import json
import subprocess
import sys

import pytest

import kzoo
from kzoo.models import PRESETS, BertConfig
from kzoo.models.families import FAMILIES
from tests.kzoo.models.contract import check_backbone
from tests.kzoo.models.families import CONVERTED, small_config

SMALL = {name: small_config(FAMILIES[preset.family]) for name, preset in PRESETS.items()}
CONTRACTS = {
    f"{name}{suffix}": config
    for name, family in CONVERTED.items()
    for suffix, config in (
        ("", small_config(family)),
        *((f"_no_{f}", small_config(family, **{f: False})) for f in family.converter.optional),
    )
}


@pytest.mark.once
@pytest.mark.parametrize("name", PRESETS)
def test_preset_has_the_published_number_of_weights(name):
    assert PRESETS[name].config.num_parameters == PRESETS[name].num_parameters


@pytest.mark.once
def test_presets_are_listed():
    assert kzoo.list_models() == list(PRESETS)
    assert {preset.family for preset in PRESETS.values()} == set(CONVERTED)
    json.dumps({name: preset.to_dict() for name, preset in PRESETS.items()})


@pytest.mark.once
@pytest.mark.parametrize("name", ["bert_tiny", "bert_mini", "minilm_l6_v2"])
def test_untrained_preset_has_as_many_weights_as_its_config_says(name):
    model = kzoo.load(name, weights="random")
    assert model.count_params() == PRESETS[name].num_parameters
    assert model.name == name


@pytest.mark.once
@pytest.mark.parametrize("name", PRESETS)
def test_preset_can_be_built(name):
    backbone = FAMILIES[PRESETS[name].family].backbone_class(SMALL[name])
    assert backbone.count_params() == SMALL[name].num_parameters


@pytest.mark.parametrize("name", CONTRACTS)
def test_backbone_keeps_the_contract(name, tmp_path):
    config = CONTRACTS[name]
    outputs = {"pooled": (None, config.hidden_dim)} if config.pooler else {}
    backbone = FAMILIES[config.family].backbone_class(config, name=f"small_{name}")
    check_backbone(backbone, tmp_path, **outputs)


@pytest.mark.once
def test_presets_are_listed_without_keras():
    script = (
        "import sys, kzoo.models as m; m.PRESETS['bert_base'].to_dict(); m.list_models();"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.once
def test_commands_start_without_numpy():
    script = "import sys, kzoo.cli; assert not {'keras', 'numpy', 'tokenizers'} & set(sys.modules)"
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
def test_wrong_size_is_one_clear_error(field, value):
    with pytest.raises(ValueError, match=rf"`{field}`.*Received: .*{field}={value!r}") as caught:
        BertConfig(**{field: value})
    assert "\n" not in str(caught.value)
