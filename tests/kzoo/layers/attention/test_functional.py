"""The kernels of attention give the same numbers, masked rows included."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest

from kzoo.layers import static_graph
from kzoo.layers.attention.functional import attention
from kzoo.layers.attention.masks import expand_mask, mask_bias, unmask_empty_rows
from tests.arrays import assert_close, to_numpy
from tests.reference import attention as reference

B, T, S, N, H = 2, 4, 6, 3, 5
random = np.random.default_rng(0)
QUERY = random.normal(size=(B, T, N, H)).astype("float32")
KEY = random.normal(size=(B, S, N, H)).astype("float32")
VALUE = random.normal(size=(B, S, N, H)).astype("float32")
MASKS = {
    "none": None,
    "padding": np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], bool),
    "everything": np.zeros((B, S), bool),
    "per_query": random.random((B, T, S)) < 0.5,
}


def biases(mask, dtype: str = "float32") -> tuple:
    """Return the bias of training and serving, and that of a graph to export."""
    if mask is None:
        return None, None
    exact = mask_bias(unmask_empty_rows(expand_mask(mask)), dtype)
    return exact, mask_bias(mask, dtype, 100.0)


def tensors(dtype: str = "float32") -> list:
    return [keras.ops.convert_to_tensor(x, dtype) for x in (QUERY, KEY, VALUE)]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_both_kernels_agree_with_the_oracle(mask):
    exact, bounded = biases(mask)
    expected = reference.attention(*(x.astype("float64") for x in (QUERY, KEY, VALUE)), mask)
    assert_close(attention(*tensors(), bias=exact), expected, 2e-6)
    with static_graph():
        # Where everything is masked the scores lie near -60, which float32 resolves to 4e-6.
        assert_close(attention(*tensors(), bias=bounded), expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mask", [MASKS["padding"], MASKS["everything"]], ids=["some", "all"])
def test_half_precision_static_graph_agrees_with_the_oracle(mask, dtype):
    _, bias = biases(mask, dtype)
    expected = reference.attention(*(x.astype("float64") for x in (QUERY, KEY, VALUE)), mask)
    with static_graph():
        actual = attention(*tensors(dtype), bias=bias)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    # Inputs and results rounded to 8 bits; with the bias added in that precision it is 3e-1.
    assert_close(actual, expected, 2e-2)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("score", [0.0, 90.0, 1e4])
def test_masked_keys_weigh_exactly_nothing(score, dtype):
    # Whatever their scores: the masked keys score higher than all others by `score`.
    mask = MASKS["padding"]
    query = np.ones((B, T, N, H), "float32")
    key = np.broadcast_to(np.where(mask, 0.0, score / H**0.5)[:, :, None, None], (B, S, N, H))
    poisoned = np.where(mask[:, :, None, None], VALUE, 1e3)
    bias, _ = biases(mask, dtype)
    results = [
        to_numpy(keras.ops.cast(attention(*inputs, bias=bias), "float32"))
        for values in (np.where(mask[:, :, None, None], VALUE, 0.0), poisoned)
        for inputs in [[keras.ops.convert_to_tensor(x, dtype) for x in (query, key, values)]]
    ]
    np.testing.assert_array_equal(*results)
    _, weights = attention(query, key, VALUE, biases(mask)[0], return_scores=True)
    masked = np.broadcast_to(mask[:, None, None], weights.shape)
    assert (to_numpy(weights)[~masked] == 0.0).all()
    assert (to_numpy(weights)[masked] > 0.1).all()


def test_permuting_the_keys_changes_nothing():
    order = random.permutation(S)
    straight = to_numpy(attention(*tensors()))
    permuted = attention(QUERY, KEY[:, order], VALUE[:, order])
    np.testing.assert_allclose(to_numpy(permuted), straight, atol=1e-6)


def test_dropout_sees_weights_that_sum_to_one():
    seen = []

    def dropout(weights):
        seen.append(to_numpy(weights))
        return weights

    result = attention(*tensors(), dropout=dropout)
    assert seen[0].shape == (B, N, T, S)
    np.testing.assert_allclose(seen[0].sum(-1), 1.0, atol=1e-6)
    assert_close(result, to_numpy(attention(*tensors())), 2e-6)


@pytest.mark.parametrize("num_kv_heads", [1, 2])
@pytest.mark.parametrize("soft_cap", [None, 0.5])
def test_shared_heads_causality_and_soft_caps_agree_with_the_oracle(num_kv_heads, soft_cap):
    query = random.normal(size=(B, T, 4, H)).astype("float32")
    key, value = KEY[:, :T, :num_kv_heads], VALUE[:, :T, :num_kv_heads]
    inputs = [x.astype("float64") for x in (query, key, value)]
    causal = np.tril(np.ones((1, T, T), bool))
    expected = reference.attention(*inputs, causal, soft_cap=soft_cap)
    options = {"is_causal": True, "soft_cap": soft_cap}
    assert_close(attention(query, key, value, **options), expected, 1e-5)
    with static_graph():
        assert_close(attention(query, key, value, **options), expected, 1e-5)


def test_returned_scores_are_the_weights():
    mask = MASKS["padding"]
    bias, _ = biases(mask)
    attended, scores = attention(*tensors(), bias=bias, return_scores=True)
    expected = reference.attention_weights(QUERY, KEY, mask)
    assert_close(scores, expected, 1e-5)
    assert_close(attended, to_numpy(attention(*tensors(), bias=bias)), 2e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("fused", [True, False])
def test_huge_scores_stay_finite(dtype, fused):
    # Queries and keys of +-67 in five dimensions: scores of up to 1e4 in size.
    heads = np.sign(random.normal(size=(B, T, N, H))) * (1e4 / H**0.5) ** 0.5
    largest = np.abs(np.einsum("btnh,bsnh->bnts", heads, heads)).max() / H**0.5
    assert largest == pytest.approx(1e4)
    inputs = [keras.ops.convert_to_tensor(heads, dtype)] * 2
    bias = biases(np.zeros((B, T), bool), dtype)[0 if fused else 1]
    with nullcontext() if fused else static_graph():
        result = attention(*inputs, keras.ops.ones((B, T, N, H), dtype), bias)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    np.testing.assert_allclose(to_numpy(keras.ops.cast(result, "float32")), 1.0, atol=1e-2)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("batch", "length"), [(0, 3), (2, 1)])
def test_empty_batches_and_single_tokens(batch, length, fused):
    query = np.ones((batch, length, 4, H), "float32")
    key = random.normal(size=(batch, length, 2, H)).astype("float32")
    with nullcontext() if fused else static_graph():
        result = attention(query, key, key, is_causal=True)
    expected = key[:, :, [0, 0, 1, 1]]
    assert tuple(result.shape) == expected.shape
    if length == 1:  # there is but one key to attend to
        np.testing.assert_allclose(to_numpy(result), expected, rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "broken",
    [
        lambda q, k, v: reference.attention(q * 1.01, k, v),
        lambda q, k, v: reference.attention(q, k[:, ::-1], v),
        lambda q, k, v: reference.attention(q, k[:, :, ::-1], v[:, :, ::-1]),
        lambda q, k, v: reference.attention(q, k, v, soft_cap=9.0),
    ],
    ids=["scale", "order", "heads", "cap"],
)
def test_broken_oracle_is_noticed(broken):
    inputs = [x.astype("float64") for x in (QUERY, KEY, VALUE)]
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(attention(*tensors()), broken(*inputs), 1e-5)
