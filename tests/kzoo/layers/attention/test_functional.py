"""The kernels of attention give the same numbers, masked rows included."""

import keras
import numpy as np
import pytest

from kzoo.layers import static_graph
from kzoo.layers.attention.functional import attention
from kzoo.layers.attention.masks import mask_bias
from tests.checks import assert_close, to_numpy
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


def tensors(dtype: str = "float32") -> list:
    return [keras.ops.convert_to_tensor(x, dtype) for x in (QUERY, KEY, VALUE)]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_both_kernels_agree_with_the_oracle(mask):
    bias = None if mask is None else mask_bias(mask, "float32")
    expected = reference.attention(*(x.astype("float64") for x in (QUERY, KEY, VALUE)), mask)
    # Where everything is masked the scores lie near -100, which float32 resolves to 8e-6.
    assert_close(attention(*tensors(), bias=bias), expected, 1e-5)
    with static_graph():
        assert_close(attention(*tensors(), bias=bias), expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mask", [MASKS["padding"], MASKS["everything"]], ids=["some", "all"])
def test_half_precision_static_graph_agrees_with_the_oracle(mask, dtype):
    bias = None if mask is None else mask_bias(mask, dtype)
    expected = reference.attention(*(x.astype("float64") for x in (QUERY, KEY, VALUE)), mask)
    with static_graph():
        actual = attention(*tensors(dtype), bias=bias)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    # Inputs and results rounded to 8 bits; with the bias added in that precision it is 3e-1.
    assert_close(actual, expected, 2e-2)


def test_masked_keys_have_no_influence():
    mask = MASKS["padding"]
    poisoned = VALUE.copy()
    poisoned[~mask] = 1e6
    for inputs in (VALUE, poisoned):
        with static_graph():
            result = attention(QUERY, KEY, inputs, bias=mask_bias(mask, "float32"))
        np.testing.assert_allclose(
            to_numpy(result),
            to_numpy(attention(QUERY, KEY, VALUE, bias=mask_bias(mask, "float32"))),
            atol=1e-5,
        )


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
