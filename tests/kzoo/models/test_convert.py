import pytest

from kzoo.models import BertBackbone, BertConfig
from kzoo.models.bert.convert import plain_name, read_config, weight_table, write_config

pytestmark = pytest.mark.once

SMALL = BertConfig(vocab_size=9, num_layers=2, num_heads=2, hidden_dim=4, mlp_dim=6, max_length=5)


@pytest.mark.parametrize("pooler", [True, False])
def test_the_table_names_every_variable_once(pooler):
    model = BertBackbone(BertConfig(**{**SMALL.to_dict(), "pooler": pooler}))
    paths = [path for path in weight_table(model.config).values() if path is not None]
    assert sorted(paths) == sorted(variable.path for variable in model.weights)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("bert.encoder.layer.0.output.dense.weight", "encoder.layer.0.output.dense.weight"),
        ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
        ("bert.embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"),
        ("pooler.dense.bias", "pooler.dense.bias"),
        ("roberta.pooler.dense.bias", "roberta.pooler.dense.bias"),
    ],
)
def test_the_spellings_of_a_weight(name, plain):
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    ("names", "activation"),
    [
        (("gelu", "gelu_python"), "gelu"),
        (("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"), "gelu_tanh"),
        (("silu", "swish"), "silu"),
    ],
)
def test_one_activation_has_several_spellings(names, activation):
    """As in `transformers.activations.ACT2FN`."""
    for name in names:
        assert read_config({"hidden_act": name}, set()).activation == activation


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu", "tanh"])
def test_a_configuration_survives_the_round_trip(activation):
    config = BertConfig(**{**SMALL.to_dict(), "activation": activation, "norm_epsilon": 1e-6})
    assert read_config(write_config(config), set()) == config


def test_the_weights_tell_whether_there_is_a_pooler():
    source = write_config(SMALL)
    assert not read_config(source, {"embeddings.LayerNorm.weight"}).pooler
    assert read_config(source, {"pooler.dense.weight", "pooler.dense.bias"}).pooler


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("pruned_heads", {"0": [1]}),
        ("hidden_act", "quick_gelu"),
        ("hidden_act", None),
    ],
)
def test_what_is_not_implemented_is_refused(field, value):
    with pytest.raises(ValueError, match=f"`{field}` of a BERT configuration must be") as caught:
        read_config({**write_config(SMALL), field: value}, set())
    assert f"Received: {field}={value!r}" in str(caught.value)


def test_a_wrong_size_is_refused():
    with pytest.raises(ValueError, match="`num_layers` must be a positive integer"):
        read_config({**write_config(SMALL), "num_hidden_layers": "two"}, set())
