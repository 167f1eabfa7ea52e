"""An encoder and a decoder of T5 made of kzoo's layers, beside `transformers`."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo.layers import (
    FeedForward,
    MultiHeadAttention,
    PositionBias,
    RelativeBias,
    RelativeKeys,
    RMSNorm,
    RotaryPositions,
    TransformerBlock,
    static_graph,
)
from tests.arrays import assert_close, to_numpy
from tests.checks import randomize
from tests.conventions import Attach

LAYERS, N, D = 2, 2, 16
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(2, 6, D)).astype("float32")
TARGET = random.normal(size=(2, 5, D)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], "int32")


def make_block(cross: bool) -> TransformerBlock:
    attend = partial(MultiHeadAttention, N, head_dim=8, score_scale=1.0, use_bias=False)
    return TransformerBlock(
        attend(causal=cross, name="attention"),
        FeedForward(24, "relu", use_bias=False, name="feed_forward"),
        attend(name="cross_attention") if cross else None,
        residual="pre",
        norm="rms_norm",
        norm_epsilon=1e-6,
    )


def make_stack(length: int, cross: bool) -> keras.Model:
    """Return blocks that share one bias, and a last norm."""
    hidden = keras.Input((length, D), name="hidden")
    mask = keras.Input((None,), dtype="int32", name="mask")
    inputs = {"hidden": hidden, "mask": mask}
    options: dict[str, Any] = {"mask": mask}
    if cross:
        context = inputs["context"] = keras.Input((None, D), name="context")
        options = {"context": context, "context_mask": mask}
    position = RelativeBias(N, 8, 20, bidirectional=not cross)
    bias = PositionBias(position, name="position")(hidden)
    for _ in range(LAYERS):
        hidden = make_block(cross)(hidden, position_bias=bias, **options)
    return keras.Model(inputs, RMSNorm(1e-6)(hidden))


def take_weights(stack: keras.Model, theirs: Any) -> None:
    """Give a stack the weights of T5's."""
    state = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    blocks = [layer for layer in stack.layers if isinstance(layer, TransformerBlock)]
    position = next(layer for layer in stack.layers if isinstance(layer, PositionBias)).position
    bias = state["block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    position.table.assign(bias)
    stack.layers[-1].gamma.assign(state["final_layer_norm.weight"])
    for index, block in enumerate(blocks):
        attentions = {"SelfAttention": block.attention, "EncDecAttention": block.cross_attention}
        parts = [(name, part) for name, part in attentions.items() if part is not None]
        for number, (name, part) in enumerate(parts):
            prefix = f"block.{index}.layer.{number}"
            for ours, letter in zip(("query", "key", "value", "out"), "qkvo", strict=True):
                kernel = state[f"{prefix}.{name}.{letter}.weight"].T
                getattr(part, ours).kernel.assign(kernel)
            block.norms[number].gamma.assign(state[f"{prefix}.layer_norm.weight"])
        prefix = f"block.{index}.layer.{len(parts)}"
        block.norms[-1].gamma.assign(state[f"{prefix}.layer_norm.weight"])
        dense = f"{prefix}.DenseReluDense"
        block.feed_forward.intermediate.kernel.assign(state[f"{dense}.wi.weight"].T)
        block.feed_forward.out.kernel.assign(state[f"{dense}.wo.weight"].T)


@pytest.mark.once
def test_encoder_and_decoder_equal_t5():
    import torch
    from transformers import T5Config, T5Model

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=11,
        d_model=D,
        d_kv=8,
        d_ff=24,
        num_layers=LAYERS,
        num_heads=N,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        dropout_rate=0.0,
        initializer_factor=1.0,
    )
    theirs = T5Model(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        as_tensors = map(torch.from_numpy, (HIDDEN, TARGET, MASK))
        hidden, target, mask = as_tensors
        expected = theirs.encoder(inputs_embeds=hidden, attention_mask=mask).last_hidden_state
        decoded = theirs.decoder(
            inputs_embeds=target,
            encoder_hidden_states=expected,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
    encoder, decoder = make_stack(6, cross=False), make_stack(5, cross=True)
    take_weights(encoder, theirs.encoder)
    take_weights(decoder, theirs.decoder)
    context = encoder({"hidden": HIDDEN, "mask": MASK})
    real = MASK == 1
    assert_close(to_numpy(context)[real], expected.numpy()[real], 2e-5)
    result = decoder({"hidden": TARGET, "mask": MASK, "context": expected.numpy()})
    assert_close(result, decoded.numpy(), 2e-5)


def test_shared_bias_is_one_table_and_survives_saving(tmp_path: Path):
    stack = make_stack(6, cross=False)
    randomize(stack)
    assert sum("table" in weight.path for weight in stack.weights) == 1
    inputs = {"hidden": HIDDEN, "mask": MASK}
    expected = to_numpy(stack(inputs))
    stack.save(tmp_path / "stack.keras")
    loaded = keras.saving.load_model(tmp_path / "stack.keras")
    assert_close(loaded(inputs), expected, 0.0)
    with static_graph():
        masked = to_numpy(stack(inputs))
    real = MASK == 1
    assert_close(masked[real], expected[real], 1e-5)


def test_large_shared_bias_does_not_lift_masked_positions():
    """In a graph to export the bound of masked scores grows with the bias."""
    layer = MultiHeadAttention(N)
    bias = np.zeros((1, 1, 6, 6), "float32")
    bias[..., 3:] = 300.0  # in favor of what the second row masks
    expected = to_numpy(layer(HIDDEN, mask=MASK, position_bias=bias))
    with static_graph():
        assert_close(layer(HIDDEN, mask=MASK, position_bias=bias), expected, 1e-5)


def test_mask_attached_to_context_is_obeyed():
    block = make_block(cross=True)
    given = to_numpy(block(TARGET, context=HIDDEN, context_mask=MASK))
    attached = Attach(MASK == 1)(HIDDEN)
    assert_close(block(TARGET, context=attached), given, 1e-6)
    assert np.abs(to_numpy(block(TARGET, context=HIDDEN)) - given).max() > 1e-3


def test_decoding_with_cache_equals_full_forward():
    block = make_block(cross=True)
    expected = to_numpy(block(TARGET, context=HIDDEN))
    cache = block.attention.make_cache(batch_size=2, length=6)
    steps = []
    for start in range(TARGET.shape[1]):
        token = TARGET[:, start : start + 1]
        step, cache = block(token, context=HIDDEN, cache=cache, start=start)
        steps.append(to_numpy(step))
    assert_close(np.concatenate(steps, axis=1), expected, 1e-5)


def test_context_goes_with_cross_attention():
    plain = TransformerBlock(MultiHeadAttention(N), FeedForward(24))
    with pytest.raises(ValueError, match=r"`context` must be None .* Received: context\.shape="):
        plain(TARGET, context=HIDDEN)
    with pytest.raises(ValueError, match=r"`context_mask` must be None .* Received: context_mask"):
        plain(HIDDEN, context_mask=MASK)
    with pytest.raises(ValueError, match=r"`context` must be what .* Received: context=None"):
        make_block(cross=True)(TARGET)
    with pytest.raises(ValueError, match="`context` must be None: `cross_attention` does not take"):
        TransformerBlock(MultiHeadAttention(N), FeedForward(24), keras.layers.Dense(D))


@pytest.mark.parametrize("position", [RotaryPositions, partial(RelativeKeys, 3)])
def test_only_biases_of_positions_are_shared(position):
    with pytest.raises(ValueError, match="`position` must add a bias that follows from positions"):
        PositionBias(position())(HIDDEN)


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (2, 2, 5, 6), (2, 6, 6)])
def test_position_bias_has_the_shape_of_scores(shape):
    with pytest.raises(ValueError, match=r"`position_bias` must have shape \(B, N, T, S\), with"):
        MultiHeadAttention(N)(HIDDEN, position_bias=np.zeros(shape, "float32"))
