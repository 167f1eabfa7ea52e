"""Positions against those of Hugging Face transformers."""

import keras
import numpy as np
import pytest

from kzoo.layers import (
    AlibiBias,
    RelativeBias,
    RotaryPositions,
    SinusoidalPositions,
    SinusoidalPositions2D,
    resize_positions,
)
from tests.arrays import assert_close, to_numpy

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "torch", reason="transformers computes in PyTorch"
)
TOLERANCE = 1e-5
B, T, N, H, THETA = 2, 48, 3, 16, 500.0
random = np.random.default_rng(0)
HEADS = random.normal(size=(B, T, N, H)).astype("float32")
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONGROPE = {
    "factor": 4.0,
    "short_factor": [1.0 + 0.1 * i for i in range(H // 2)],
    "long_factor": [1.0 + i for i in range(H // 2)],
}
YARN = {"attention_factor": 1.3, "beta_fast": 8.0, "beta_slow": 0.5, "truncate": False}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("kind", "parameters", "original"),
    [
        ("default", {}, T),
        ("linear", {"factor": 4.0}, T),
        ("dynamic", {"factor": 4.0}, 2 * T),  # shorter than the original length: no scaling
        ("dynamic", {"factor": 4.0}, T // 2),
        ("yarn", {"factor": 4.0}, 32),
        ("yarn", {"factor": 4.0, **YARN}, 32),
        ("yarn", {"factor": 4.0, "mscale": 1.0, "mscale_all_dim": 0.7}, 32),
        ("llama3", {"factor": 8.0, **LLAMA3}, 32),
        ("longrope", LONGROPE, T // 2),
        ("longrope", LONGROPE, 2 * T),
    ],
)
def test_rotary_of_llama(kind, parameters, original, known):
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    keeps = kind in ("yarn", "llama3", "longrope")
    kept = {"original_max_position_embeddings": original} if keeps else {}
    config = LlamaConfig(
        hidden_size=N * H,
        num_attention_heads=N,
        max_position_embeddings=original if kind == "dynamic" else T,
        rope_parameters={"rope_type": kind, "rope_theta": THETA, **parameters, **kept},
    )
    heads = torch.from_numpy(HEADS)
    cosines, sines = LlamaRotaryEmbedding(config)(heads, torch.arange(T)[None])
    expected, _ = apply_rotary_pos_emb(heads, heads, cosines, sines, unsqueeze_dim=2)
    length = {"original_max_length": original} if kind == "dynamic" or kept else {}
    scaling = None if kind == "default" else {"type": kind, **parameters, **length}
    layer = RotaryPositions(THETA, scaling)
    positions = np.arange(T)
    actual = layer.rotate(heads, positions if known else torch.from_numpy(positions))
    assert_close(actual, expected.numpy(), TOLERANCE)


def test_partly_rotary_of_gpt_neox():
    import torch
    from transformers import GPTNeoXConfig
    from transformers.models.gpt_neox.modeling_gpt_neox import (
        GPTNeoXRotaryEmbedding,
        apply_rotary_pos_emb,
    )

    parameters = {"rope_type": "default", "rope_theta": THETA, "partial_rotary_factor": 0.25}
    config = GPTNeoXConfig(hidden_size=N * H, num_attention_heads=N, rope_parameters=parameters)
    heads = torch.from_numpy(HEADS)
    tables = GPTNeoXRotaryEmbedding(config)(heads, torch.arange(T)[None])
    expected, _ = apply_rotary_pos_emb(heads, heads, *tables, unsqueeze_dim=2)
    assert_close(RotaryPositions(THETA, rotary_dim=H // 4)(HEADS), expected.numpy(), TOLERANCE)


@pytest.mark.parametrize("num_heads", [1, 6, 8, 12])
def test_alibi_of_bloom_and_mpt(num_heads):
    import torch
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor
    from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

    bias = to_numpy(AlibiBias(num_heads)(np.arange(T)))[0]
    bloom = build_alibi_tensor(torch.ones(1, T), num_heads, torch.float32)
    mpt = build_mpt_alibi_tensor(num_heads, T)
    # Theirs count from the first or to the last key, which a softmax over the past cannot tell.
    for theirs in (bloom.numpy(), mpt.numpy()):
        expected = theirs - np.swapaxes(theirs, 1, 2)
        past = np.tril(np.ones((T, T), bool))
        assert_close(np.where(past, bias, 0), np.where(past, expected, 0), TOLERANCE)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 20)])
def test_relative_bias_of_t5(num_buckets, max_distance, bidirectional):
    import torch
    from transformers import T5Config
    from transformers.models.t5.modeling_t5 import T5Attention

    config = T5Config(
        num_heads=N,
        relative_attention_num_buckets=num_buckets,
        relative_attention_max_distance=max_distance,
        is_decoder=not bidirectional,
    )
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    layer = RelativeBias(N, num_buckets, max_distance, bidirectional)
    layer.build((1,))
    layer.set_weights([theirs.relative_attention_bias.weight.detach().numpy()])
    with torch.no_grad():
        expected = theirs.compute_bias(5, 300, past_seen_tokens=150).numpy()
    assert_close(layer(np.arange(150, 155), np.arange(300)), expected, TOLERANCE)


def test_sinusoids_of_distilbert_and_mae():
    import torch
    from transformers import ViTMAEConfig
    from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings
    from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

    expected = create_sinusoidal_embeddings(T, H, torch.zeros(T, H)).numpy()
    assert_close(SinusoidalPositions()(np.zeros((1, T, H))), expected, TOLERANCE)
    embeddings = ViTMAEEmbeddings(ViTMAEConfig(hidden_size=H, image_size=20, patch_size=4))
    embeddings.initialize_weights()
    expected = embeddings.position_embeddings[0, 1:].detach().numpy()
    assert_close(SinusoidalPositions2D(5, 5)(np.zeros((1, 25, H))), expected, TOLERANCE)


@pytest.mark.parametrize("new_size", [(7, 3), (2, 9), (4, 5)])
@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_resized_tables_of_pytorch(method, new_size):
    import torch

    old_size = (4, 5)
    table = random.normal(size=(2 + 20, H)).astype("float32")
    grid = torch.from_numpy(table[2:].T.reshape(1, H, *old_size))
    modes = {"linear": "bilinear", "cubic": "bicubic"}
    resized = torch.nn.functional.interpolate(grid, new_size, mode=modes[method])
    expected = np.concatenate([table[:2], resized[0].flatten(1).T.numpy()])
    assert_close(resize_positions(table, old_size, new_size, method, 2), expected, TOLERANCE)
    if method == "linear":
        row = torch.from_numpy(table.T[None])
        expected = torch.nn.functional.interpolate(row, new_size[0], mode="linear")[0].T.numpy()
        assert_close(resize_positions(table, 22, new_size[0]), expected, TOLERANCE)
