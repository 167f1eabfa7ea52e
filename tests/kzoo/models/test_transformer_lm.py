"""The Transformer language model, beside PyTorch's."""

import dataclasses

import keras
import numpy as np
import pytest

from kzoo.layers import static_graph
from kzoo.models import PRESETS, TransformerLM, TransformerLMConfig
from kzoo.models.transformer_lm.convert import TABLE
from kzoo.weights import expand, rename
from tests.arrays import to_numpy
from tests.kzoo.models.contract import check_backbone

SMALL = TransformerLMConfig(vocab_size=40, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=20)
TOKEN_IDS = np.random.default_rng(0).integers(0, SMALL.vocab_size, (3, 9)).astype("int32")


def test_backbone_keeps_the_contract(tmp_path):
    logits = (None, None, SMALL.vocab_size)
    check_backbone(TransformerLM(SMALL, name="small_lm"), tmp_path, logits=logits)


def test_causal_mask_blocks_future():
    model = TransformerLM(SMALL)
    changed = TOKEN_IDS.copy()
    changed[:, 5:] = 39 - changed[:, 5:]
    outputs = [to_numpy(model({"token_ids": ids})["logits"]) for ids in (TOKEN_IDS, changed)]
    np.testing.assert_allclose(outputs[0][:, :5], outputs[1][:, :5], atol=1e-6)
    assert np.abs(outputs[0] - outputs[1])[:, 5:].max() > 1e-2


@pytest.mark.once
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_block_equals_pytorch(activation):
    config = dataclasses.replace(SMALL, activation=activation)
    tensors, expected = torch_model(config, TOKEN_IDS)
    assert difference(config, tensors, expected) < 1e-5
    with static_graph():
        assert difference(config, tensors, expected) < 1e-5


@pytest.mark.once
@pytest.mark.parametrize(
    "name", ["self_attn.in_proj_weight", "self_attn.out_proj.bias", "linear1.weight", "norm2.bias"]
)
def test_another_weight_is_another_model(name):
    """The comparison can fail: each kind of weight takes part in it."""
    tensors, expected = torch_model(SMALL, TOKEN_IDS)
    name = f"transformer_encoder.layers.1.{name}"
    tensors[name] = tensors[name] + np.linspace(0, 0.01, tensors[name].size).reshape(
        tensors[name].shape
    )
    assert difference(SMALL, tensors, expected) > 1e-4


def difference(config, tensors, expected):
    model = TransformerLM(config)
    variables = {variable.path: variable for variable in model.weights}
    shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
    arrays = rename(tensors, expand(TABLE, config.num_layers), shapes)
    for path, array in arrays.items():
        variables[path].assign(array)
    return np.abs(to_numpy(model({"token_ids": TOKEN_IDS})["logits"]) - expected).max()


def torch_model(config, token_ids):
    """Return the weights and the logits of the tutorial's model, its weights random."""
    import torch

    torch.manual_seed(0)
    width = config.hidden_dim
    layer = torch.nn.TransformerEncoderLayer(
        width, config.num_heads, config.mlp_dim, activation=config.activation, batch_first=True
    )
    model = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(config.vocab_size, width),
            "transformer_encoder": torch.nn.TransformerEncoder(layer, config.num_layers),
            "linear": torch.nn.Linear(width, config.vocab_size),
        }
    ).eval()
    angles = torch.arange(token_ids.shape[1])[:, None] * torch.exp(
        torch.arange(0, width, 2) * (-np.log(10000.0) / width)
    )
    positions = torch.stack([torch.sin(angles), torch.cos(angles)], -1).reshape(-1, width)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(token_ids.shape[1])
    with torch.no_grad():
        # A new encoder has the same weights in each layer, zero biases and unit scales.
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        hidden = model["embedding"](torch.from_numpy(token_ids)) * width**0.5 + positions
        logits = model["linear"](model["transformer_encoder"](hidden, mask=mask))
    return {name: t.numpy() for name, t in model.state_dict().items()}, logits.numpy()


@pytest.mark.once
def test_initial_matrices_are_uniform_and_biases_zero():
    keras.utils.set_random_seed(0)
    model = TransformerLM(dataclasses.replace(SMALL, init_range=0.5))
    for weight in model.weights:
        values = to_numpy(weight)
        if values.ndim == 2:
            assert np.abs(values).max() <= 0.5
            # Of a uniform distribution: 1 / sqrt(3) of its limit.
            assert abs(values.std() / 0.5 - 3**-0.5) < 0.05
        else:
            assert set(values) == {1.0 if weight.path.endswith("gamma") else 0.0}


@pytest.mark.once
def test_tutorial_trains_its_own_weights():
    assert "transformer_lm" not in {preset.family for preset in PRESETS.values()}
    assert TransformerLMConfig().num_parameters == 12_025_582


@pytest.mark.once
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_layers", 0),
        ("vocab_size", 1.5),
        ("num_heads", 3),
        ("dropout", 1.0),
        ("norm_epsilon", 0.0),
        ("init_range", "small"),
    ],
)
def test_wrong_size_is_one_clear_error(field, value):
    with pytest.raises(ValueError, match=rf"`.*Received: .*{field}={value!r}"):
        TransformerLMConfig(**{field: value})


@pytest.mark.once
def test_odd_width_is_refused():
    with pytest.raises(ValueError, match="`hidden_dim` must be even"):
        TransformerLMConfig(hidden_dim=7, num_heads=1)
