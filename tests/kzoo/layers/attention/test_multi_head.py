"""What multi-head attention promises, whatever its weights are, and its arguments."""

import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kzoo.layers import MultiHeadAttention, RotaryPositions, static_graph
from tests.arrays import to_numpy
from tests.checks import compiled, randomize

B, T, N, D = 2, 5, 3, 12
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
CONTEXT = random.normal(size=(B, 7, 6)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], bool)
ROUNDING = 2e-6  # float32 sums in another order
EXAMPLES = settings(max_examples=6, deadline=None, derandomize=True)
seeds = st.integers(0, 2**16)


def made(**arguments) -> MultiHeadAttention:
    layer = MultiHeadAttention(**arguments)
    layer.build((B, T, D))
    randomize(layer)
    return layer


BIDIRECTIONAL = made(num_heads=4, num_kv_heads=2, query_key_norm=True, gated=True)
CAUSAL = made(num_heads=2, num_kv_heads=1, causal=True, soft_cap=3.0, position=RotaryPositions())
WINDOWED = made(num_heads=2, causal=True, window=2, position=RotaryPositions())


@EXAMPLES
@given(seeds)
def test_without_positions_a_permutation_only_permutes(seed):
    order = np.random.default_rng(seed).permutation(T)
    hidden = np.random.default_rng(seed).normal(size=(B, T, D)).astype("float32")
    straight = to_numpy(BIDIRECTIONAL(hidden, mask=PADDING_MASK))
    permuted = to_numpy(BIDIRECTIONAL(hidden[:, order], mask=PADDING_MASK[:, order]))
    np.testing.assert_allclose(permuted, straight[:, order], atol=ROUNDING)


@EXAMPLES
@given(seeds, st.integers(1, T - 1), st.sampled_from([CAUSAL, WINDOWED]))
def test_causal_mask_blocks_future(seed, now, layer):
    other = HIDDEN.copy()
    other[:, now:] = np.random.default_rng(seed).normal(size=other[:, now:].shape)
    before, after = to_numpy(layer(HIDDEN)), to_numpy(layer(other))
    np.testing.assert_allclose(after[:, :now], before[:, :now], atol=ROUNDING)
    assert np.abs(after[:, now:] - before[:, now:]).max() > 1e-2


@EXAMPLES
@given(seeds, st.integers(2, T - 1))
def test_window_ignores_distant_keys(seed, lost):
    other = HIDDEN.copy()
    other[:, : lost - 1] = np.random.default_rng(seed).normal(size=other[:, : lost - 1].shape)
    np.testing.assert_allclose(
        to_numpy(WINDOWED(other))[:, lost:], to_numpy(WINDOWED(HIDDEN))[:, lost:], atol=ROUNDING
    )


@EXAMPLES
@given(seeds, st.integers(1, T - 1), st.sampled_from([BIDIRECTIONAL, CAUSAL, WINDOWED]))
def test_packed_documents_equal_separate_ones(seed, end, layer):
    hidden = np.random.default_rng(seed).normal(size=(B, T, D)).astype("float32")
    document_ids = np.broadcast_to(np.arange(T) >= end, (B, T)).astype("int32")
    packed = to_numpy(layer(hidden, document_ids=document_ids))
    separate = [to_numpy(layer(part)) for part in (hidden[:, :end], hidden[:, end:])]
    np.testing.assert_allclose(packed, np.concatenate(separate, axis=1), atol=ROUNDING)


@EXAMPLES
@given(seeds, st.integers(1, T), st.sampled_from([CAUSAL, WINDOWED]))
def test_decoding_with_a_cache_equals_a_full_pass(seed, prompt, layer):
    hidden = np.random.default_rng(seed).normal(size=(B, T, D)).astype("float32")
    cache = layer.make_cache(batch_size=B, length=T + 2)
    output, cache = layer(hidden[:, :prompt], cache=cache, start=0)
    outputs = [to_numpy(output)]
    for place in range(prompt, T):
        start = keras.ops.convert_to_tensor(place, "int32")  # one graph for all steps
        output, cache = layer(hidden[:, place : place + 1], cache=cache, start=start)
        outputs.append(to_numpy(output))
    expected = to_numpy(layer(hidden))
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), expected, atol=ROUNDING)


def test_cache_keeps_its_shape_and_works_in_models():
    layer = MultiHeadAttention(2, num_kv_heads=1, causal=True)
    token, start = keras.Input((1, D)), keras.Input(batch_shape=(), dtype="int32")
    cache = {name: keras.Input((8, 1, D // 2)) for name in ("key", "value")}
    output, scores, updated = layer(token, cache=cache, start=start, return_scores=True)
    assert scores.shape == (None, 2, 1, 8)
    model = keras.Model([token, start, cache], [output, scores, updated])
    empty = layer.make_cache(B, 8)
    given = map(keras.ops.convert_to_tensor, (HIDDEN[:, :1], np.array(3, "int32")))
    output, scores, updated = model([*given, empty])
    assert {name: tuple(array.shape) for name, array in updated.items()} == {
        name: tuple(array.shape) for name, array in empty.items()
    }
    written = np.abs(to_numpy(updated["key"])).sum((0, 2, 3)) > 0
    assert written.tolist() == [False] * 3 + [True] + [False] * 4
    # The three places before it are zeros that nobody wrote, yet tokens all the same.
    np.testing.assert_array_equal(to_numpy(scores)[..., 0, :] > 1e-9, [[[1] * 4 + [0] * 4] * 2] * B)


def test_cache_is_the_same_in_both_graphs():
    start = keras.ops.convert_to_tensor(2, "int32")
    cache = WINDOWED.make_cache(B, 6)
    inputs = {"query": HIDDEN[:, :1], "start": start}
    fused = to_numpy(WINDOWED(**inputs, cache=cache)[0])
    with static_graph():
        np.testing.assert_allclose(
            to_numpy(WINDOWED(**inputs, cache=cache)[0]), fused, atol=ROUNDING
        )


def test_padding_does_not_change_real_positions():
    short = to_numpy(BIDIRECTIONAL(HIDDEN[:, :3], mask=np.ones((B, 3), "int32")))
    mask = np.array([[1, 1, 1, 0, 0]] * B, "int32")
    padded = to_numpy(BIDIRECTIONAL(HIDDEN, mask=mask))
    np.testing.assert_allclose(padded[:, :3], short, atol=ROUNDING)


def test_context_equal_to_the_query_is_self_attention():
    layer = MultiHeadAttention(num_heads=N)
    alone = to_numpy(layer(HIDDEN, mask=PADDING_MASK))
    np.testing.assert_array_equal(to_numpy(layer(HIDDEN, HIDDEN, mask=PADDING_MASK)), alone)


def test_window_as_wide_as_the_sequence_is_none():
    wide, none = (MultiHeadAttention(N, causal=True, window=window) for window in (T, None))
    expected = to_numpy(none(HIDDEN))
    wide(HIDDEN)
    wide.set_weights([to_numpy(weight) for weight in none.trainable_variables])
    np.testing.assert_array_equal(to_numpy(wide(HIDDEN)), expected)


@pytest.mark.parametrize("layer", [BIDIRECTIONAL, WINDOWED], ids=["bidirectional", "windowed"])
@pytest.mark.parametrize("batch", [0, 1, B])
def test_one_layer_takes_any_length_and_any_mask(layer, batch):
    for length in (1, 3, T):
        hidden = HIDDEN[:batch, :length]
        for graph in (False, True):
            output = layer(hidden, mask=np.zeros((batch, length), bool), return_scores=graph)
            output = output[0] if graph else output
            assert tuple(output.shape) == hidden.shape
            assert np.isfinite(to_numpy(output)).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_finite_under_any_mask(policy):
    layer = MultiHeadAttention(4, 2, causal=True, window=2, dtype=policy)
    hidden = HIDDEN * 100.0
    for mask in (PADDING_MASK, np.zeros_like(PADDING_MASK)):
        output = keras.ops.cast(layer(hidden, mask=mask), "float32")
        assert np.isfinite(to_numpy(output)).all()


def test_dropout_acts_in_training_only():
    layer = MultiHeadAttention(num_heads=N, dropout=0.5)
    plain = MultiHeadAttention(num_heads=N)
    for each in (layer, plain):
        each(HIDDEN)
    plain.set_weights([weight.numpy() for weight in layer.trainable_variables])
    expected = to_numpy(plain(HIDDEN))
    np.testing.assert_array_equal(to_numpy(layer(HIDDEN, training=False)), expected)
    first, second = (to_numpy(layer(HIDDEN, training=True)) for _ in range(2))
    assert np.abs(first - expected).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.once
def test_cached_steps_share_one_program():
    layer = MultiHeadAttention(2, causal=True)
    layer.build((B, T, D))
    cache = layer.make_cache(B, 4)
    start = np.array(1, "int32")
    output, _ = compiled(layer, {"query": HIDDEN[:, :1], "cache": cache, "start": start})
    expected, _ = layer(HIDDEN[:, :1], cache=cache, start=1)
    np.testing.assert_allclose(to_numpy(output), to_numpy(expected), atol=ROUNDING)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "`num_heads` must be a positive integer. Received: num_heads=0"),
        ({"num_heads": True}, "`num_heads` must be a positive integer. Received: num_heads=True"),
        ({"num_kv_heads": 0}, "`num_kv_heads` must be a positive integer"),
        ({"num_kv_heads": 3}, "`num_kv_heads` must divide `num_heads`, 2. Received: num_kv_heads="),
        ({"head_dim": 1.5}, "`head_dim` must be a positive integer"),
        ({"window": -2}, "`window` must be a positive integer. Received: window=-2"),
        ({"soft_cap": 0.0}, "`soft_cap` must be a positive number. Received: soft_cap=0.0"),
        ({"position": "rotary"}, "`position` must be a Keras layer. Received: position='rotary'"),
        ({"dropout": 1.0}, "`dropout` must be a number in [0, 1)"),
        ({"dropout": -0.1}, "`dropout` must be a number in [0, 1)"),
        ({"init_std": 0}, "`init_std` must be a positive number"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MultiHeadAttention(**{"num_heads": 2, **arguments})


@pytest.mark.once
@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        ({}, {"query": HIDDEN[0]}, "expected ndim=3, found ndim=2"),
        ({"num_heads": 5}, {}, "`num_heads` must divide the width of the query, 12, unless"),
        ({}, {"mask": np.ones((B, 1, T, T), bool)}, "`mask` must have shape (B, S) or (B, T, S)"),
        (
            {},
            {"mask": np.ones((B, T - 1), bool)},
            "with B=2, T=5, S=5. Received: mask.shape=(2, 4)",
        ),
        ({}, {"mask": np.zeros((B, T), "float32")}, "`mask` must be boolean or integer"),
        ({}, {"document_ids": np.zeros((B, 2), "int32")}, "`document_ids` must have shape (B, T)"),
        ({"causal": True}, {"context": CONTEXT}, "`context` must be None with `causal`"),
        ({"window": 2}, {"context": CONTEXT}, "`context` must be None with `window`"),
        (
            {},
            {"context": CONTEXT, "document_ids": np.zeros((B, T), "int32")},
            "`context` must be None with `document_ids`",
        ),
        ({}, {"cache": MultiHeadAttention(1, head_dim=4).make_cache(B, 8)}, "layer is causal"),
        ({"causal": True}, {"cache": {"key": HIDDEN}}, "`cache` must be what `make_cache`"),
        (
            {"causal": True},
            {"cache": CAUSAL.make_cache(B, 8), "document_ids": np.zeros((B, T), "int32")},
            "`document_ids` must be None with a `cache`",
        ),
        (
            {"causal": True, "num_heads": 2, "num_kv_heads": 1},
            {"cache": CAUSAL.make_cache(B, 8), "start": 4},
            "room for `start` + T tokens; its length is 8. Received: start=4, T=5",
        ),
    ],
)
def test_wrong_calls(layer, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MultiHeadAttention(**{"num_heads": N, **layer})(**{"query": HIDDEN, **arguments})


@pytest.mark.once
def test_cache_needs_the_width_of_a_head():
    with pytest.raises(ValueError, match="must be built, or have a `head_dim`"):
        MultiHeadAttention(2).make_cache(1, 8)
