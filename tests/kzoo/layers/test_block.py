"""The transformer block: beside PyTorch's, at its edges, and where errors come from."""

import keras
import numpy as np
import pytest

from kzoo.layers import (
    FeedForward,
    GatedFeedForward,
    MultiHeadAttention,
    TransformerBlock,
    static_graph,
)
from tests.arrays import to_numpy
from tests.checks import named_weights, randomize

HIDDEN = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 0, 0]] * 2, "int32")


def parts(attention_dropout=0.0, inner_dropout=0.0, feed_forward=FeedForward):
    return {
        "attention": MultiHeadAttention(2, dropout=attention_dropout, init_std=0.5),
        "feed_forward": feed_forward(16, dropout=inner_dropout, init_std=0.5),
    }


@pytest.mark.parametrize(
    "rates",
    [
        ({"attention_dropout": 0.5}, {}),
        ({"inner_dropout": 0.5}, {}),
        ({"inner_dropout": 0.5, "feed_forward": GatedFeedForward}, {"residual": "parallel"}),
        ({}, {"dropout": 0.5, "residual": "pre"}),
        ({}, {"stochastic_depth": 0.5, "residual": "sandwich"}),
    ],
)
def test_each_dropout_acts_in_training_only(rates):
    keras.utils.set_random_seed(0)
    inside, outside = rates
    block = TransformerBlock(**parts(**inside), **outside)
    still = to_numpy(block(HIDDEN))
    np.testing.assert_array_equal(to_numpy(block(HIDDEN, training=False)), still)
    outputs = [to_numpy(block(HIDDEN, training=True)) for _ in range(8)]
    assert max(np.abs(output - still).max() for output in outputs) > 1e-2
    assert max(np.abs(output - outputs[0]).max() for output in outputs) > 1e-2


def test_padding_does_not_change_real_positions():
    block = TransformerBlock(**parts())
    short = to_numpy(block(HIDDEN[:, :3]))
    padded = to_numpy(block(HIDDEN, mask=PADDING_MASK))
    np.testing.assert_allclose(padded[:, :3], short, atol=2e-6)


def test_heads_must_divide_the_width():
    block = TransformerBlock(MultiHeadAttention(num_heads=3), FeedForward(mlp_dim=16))
    with pytest.raises(ValueError, match=r"`num_heads` must divide .* 8.* Received: num_heads=3"):
        block(HIDDEN)


@pytest.mark.once
@pytest.mark.parametrize("residual", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_block_equals_pytorch(residual, activation):
    import torch

    block = TransformerBlock(
        MultiHeadAttention(2, name="attention"),
        FeedForward(16, activation, name="feed_forward"),
        residual=residual,
        norm_epsilon=1e-5,
    )
    block.build(HIDDEN.shape)
    randomize(block)
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 16, 0.0, activation, batch_first=True, norm_first=residual == "pre"
    )
    w = {path: torch.from_numpy(a.astype("float32")) for path, a in named_weights(block).items()}
    projections = [f"attention/{name}" for name in ("query", "key", "value")]
    state = {
        "self_attn.in_proj_weight": torch.cat([w[f"{p}/kernel"].T for p in projections]),
        "self_attn.in_proj_bias": torch.cat([w[f"{p}/bias"] for p in projections]),
        "self_attn.out_proj.weight": w["attention/out/kernel"].T,
        "self_attn.out_proj.bias": w["attention/out/bias"],
        "linear1.weight": w["feed_forward/intermediate/kernel"].T,
        "linear1.bias": w["feed_forward/intermediate/bias"],
        "linear2.weight": w["feed_forward/out/kernel"].T,
        "linear2.bias": w["feed_forward/out/bias"],
        "norm1.weight": w["attention_norm/gamma"],
        "norm1.bias": w["attention_norm/beta"],
        "norm2.weight": w["feed_forward_norm/gamma"],
        "norm2.bias": w["feed_forward_norm/beta"],
    }
    theirs.load_state_dict(state)
    with torch.no_grad():
        hidden, padding = torch.from_numpy(HIDDEN), torch.from_numpy(PADDING_MASK == 0)
        expected = theirs(hidden, src_key_padding_mask=padding).numpy()
    ours = to_numpy(block(HIDDEN, mask=PADDING_MASK))
    # In training mode PyTorch computes padding positions too; only real ones are compared.
    np.testing.assert_allclose(ours[:, :3], expected[:, :3], atol=1e-5)


RESIDUAL_OPTIONS = [
    {"residual": "post"},
    {"residual": "pre", "norm": "rms_norm", "layer_scale": 0.1},
    {"residual": "sandwich", "norm": "no_norm"},
    {"residual": "parallel", "stochastic_depth": 0.1},
]


@pytest.mark.parametrize("options", RESIDUAL_OPTIONS)
def test_edges_of_the_shapes(options):
    block = TransformerBlock(**parts(), **options)
    assert block(HIDDEN[:0]).shape == (0, 5, 8)
    masked = to_numpy(block(HIDDEN[:, :1], mask=np.zeros((2, 1), "int32")))
    assert np.isfinite(masked).all()


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("options", RESIDUAL_OPTIONS[:2])
def test_large_numbers_stay_finite_in_half_precision(options, dtype):
    config = TransformerBlock(**parts(), **options).get_config()
    block = TransformerBlock.from_config({**config, "dtype": dtype})
    hidden = np.float32(50) * np.sign(HIDDEN)  # scores of about 1e4
    with static_graph():  # JAX's fused attention has no float16 form for CPUs.
        outputs = block(hidden, mask=np.zeros((2, 5), "int32"))
    assert np.isfinite(to_numpy(keras.ops.cast(outputs, "float32"))).all()


def test_decoding_with_a_cache_is_the_full_forward():
    attention = MultiHeadAttention(2, causal=True, init_std=0.5)
    block = TransformerBlock(attention, FeedForward(16, init_std=0.5), residual="pre")
    expected = to_numpy(block(HIDDEN))
    cache = attention.make_cache(batch_size=2, length=6)
    steps = []
    for start in range(HIDDEN.shape[1]):
        step, cache = block(HIDDEN[:, start : start + 1], cache=cache, start=start)
        steps.append(to_numpy(step))
    np.testing.assert_allclose(np.concatenate(steps, axis=1), expected, atol=1e-5)
    symbol = keras.KerasTensor((2, 1, 8))
    promised, promised_cache = block(symbol, cache=cache, start=5)
    assert promised.shape == (2, 1, 8)
    assert promised_cache["key"].shape == (2, 6, 2, 4)


def test_packed_documents_are_separate_sequences():
    block = TransformerBlock(**parts())
    document_ids = np.array([[0, 0, 0, 1, 1]] * 2, "int32")
    packed = to_numpy(block(HIDDEN, document_ids=document_ids))
    first, second = to_numpy(block(HIDDEN[:, :3])), to_numpy(block(HIDDEN[:, 3:]))
    np.testing.assert_allclose(packed, np.concatenate([first, second], axis=1), atol=1e-5)


def test_any_layer_can_take_the_place_of_attention():
    """Which is called with what is there alone: this one takes no mask."""
    block = TransformerBlock(keras.layers.Dense(8), FeedForward(16), residual="pre")
    assert block(HIDDEN).shape == HIDDEN.shape


def test_wrong_residual_names_the_choices():
    with pytest.raises(ValueError, match=r"`residual` must be one of 'post', 'pre', 'sandwich'"):
        TransformerBlock(**parts(), residual="before")
    with pytest.raises(ValueError, match=r"`norm` must be one of 'layer_norm'.*norm='batch_norm'"):
        TransformerBlock(**parts(), norm="batch_norm")
    with pytest.raises(ValueError, match=r"`layer_scale` must be a positive number"):
        TransformerBlock(**parts(), layer_scale=0)
