"""Masks compose as values and become one bounded bias."""

import keras
import numpy as np
import pytest

from kzoo.layers import static_graph
from kzoo.layers.attention.masks import (
    causal_mask,
    combine_masks,
    document_mask,
    expand_mask,
    mask_bias,
    mask_bound,
    unmask_empty_rows,
    window_mask,
)
from tests.arrays import to_numpy
from tests.reference.attention import allowed_pairs

MASK = np.array([[1, 1, 0], [0, 1, 1]])
IDS = np.array([[0, 0, 1, 1, 2, 2], [7, 7, 7, 7, 7, 0]], "int32")


@pytest.mark.parametrize("dtype", ["bool", "int32"])
@pytest.mark.parametrize("bound", [None, 100.0], ids=["exact", "bounded"])
def test_padding_mask(dtype, bound):
    low = -np.inf if bound is None else -bound
    expected = np.array([[[[0, 0, low]]], [[[low, 0, 0]]]])
    for mask in (MASK.astype(dtype), keras.ops.convert_to_tensor(MASK.astype(dtype))):
        np.testing.assert_array_equal(to_numpy(mask_bias(mask, "float32", bound)), expected)
        four_axes = mask_bias(expand_mask(mask), "float32", bound)
        np.testing.assert_array_equal(to_numpy(four_axes), expected)


def test_mask_of_each_query():
    mask = np.stack([MASK, 1 - MASK])
    bias = to_numpy(mask_bias(mask.astype("int32"), "float32"))
    assert bias.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(bias[:, 0], np.where(mask, 0, -np.inf))


@pytest.mark.parametrize(
    ("bound", "score_range"),
    [
        (mask_bound(), 40.0),
        (mask_bound(256.0), 40.0 + 256.0),  # ALiBi's first head of 8, 512 tokens
        (mask_bound(soft_cap=2.0), 4.0),
        (mask_bound(25.0, soft_cap=50.0), 125.0),
    ],
)
def test_bound_is_small_yet_erases(bound, score_range):
    # A masked key at the top of the range weighs nothing in float32 beside a real one at its end.
    assert np.exp(score_range - bound) < 0.1 * np.finfo("float32").eps
    # An int16 graph has 65536 steps for all scores: at most 0.01 each, to keep what they say.
    assert (bound + score_range) / 65536 < 0.02
    for dtype in ("float32", "float16"):
        assert to_numpy(mask_bias(MASK.astype("bool"), dtype, bound)).min() == -bound


def test_masked_weights_are_normal_numbers():
    # Denormal ones are slow. 20 is how far the best real key of a row is above the masked ones.
    scores = np.float32([20.0] + [-mask_bound()] * 511)
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    assert weights.min() > np.finfo("float32").tiny


def test_bound_of_weights_is_a_tensor():
    bound = mask_bound(keras.ops.convert_to_tensor(7.0))
    for mask in (MASK, keras.ops.convert_to_tensor(MASK)):
        bias = to_numpy(mask_bias(mask, "float32", bound))
        np.testing.assert_array_equal(bias[:, 0, 0], np.where(MASK, 0.0, -mask_bound() - 7.0))


def test_empty_rows_are_unmasked():
    mask = np.array([[[[1, 0, 1], [0, 0, 0]]], [[[0, 0, 0], [0, 0, 1]]]], "int32")
    expected = [[[[1, 0, 1], [1, 1, 1]]], [[[1, 1, 1], [0, 0, 1]]]]
    for form in (mask, mask.astype("bool"), keras.ops.convert_to_tensor(mask)):
        np.testing.assert_array_equal(to_numpy(unmask_empty_rows(form)), expected)


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_windows_and_causality_agree_with_the_oracle(window):
    for form in (window_mask(6, 6, window), combine_masks(window_mask(6, 6, window))):
        np.testing.assert_array_equal(to_numpy(form)[0], allowed_pairs(6, window=window))
    both = combine_masks(causal_mask(6, 6), window_mask(6, 6, window), None)
    expected = allowed_pairs(6, causal=True, window=window)
    np.testing.assert_array_equal(to_numpy(both)[0], expected)


@pytest.mark.once
@pytest.mark.parametrize("wrong", [1, -1])
def test_window_off_by_one_is_noticed(wrong):
    expected = allowed_pairs(6, window=3)
    assert (to_numpy(window_mask(6, 6, 3 + wrong))[0] != expected).any()
    assert (to_numpy(causal_mask(6, 6, wrong))[0] != allowed_pairs(6, causal=True)).any()


def test_later_queries_see_as_much_as_in_the_whole():
    start = keras.ops.convert_to_tensor(4, "int32")
    for offset in (4, start):
        rows = to_numpy(causal_mask(2, 6, offset)), to_numpy(window_mask(2, 6, 2, offset))
        np.testing.assert_array_equal(rows[0][0], allowed_pairs(6, causal=True)[:, 4:])
        np.testing.assert_array_equal(rows[1][0], allowed_pairs(6, window=2)[:, 4:])


def test_documents_agree_with_the_oracle():
    mask = to_numpy(document_mask(IDS, IDS))
    np.testing.assert_array_equal(mask[:, 0], allowed_pairs(6, documents=IDS))


def test_all_kinds_combine():
    padding = np.arange(6)[None] < np.array([[5], [6]])
    masks = causal_mask(6, 6), window_mask(6, 6, 3), document_mask(IDS, IDS), expand_mask(padding)
    expected = allowed_pairs(6, causal=True, window=3, documents=IDS) & padding[:, None]
    for order in (masks, masks[::-1], (None, *masks)):
        np.testing.assert_array_equal(to_numpy(combine_masks(*order))[:, 0], expected)
    assert combine_masks() is None
    assert combine_masks(None, None) is None


def test_what_is_known_is_constant_in_a_static_graph():
    with static_graph():
        mask = combine_masks(causal_mask(6, 6), window_mask(6, 6, 2))
        mixed = combine_masks(document_mask(IDS, IDS), mask)
        bias = mask_bias(mask, "float32", 100.0)
    assert isinstance(mask, np.ndarray)
    assert not isinstance(bias, np.ndarray)
    np.testing.assert_array_equal(mask[0], allowed_pairs(6, causal=True, window=2))
    np.testing.assert_array_equal(to_numpy(bias), np.where(mask, 0, -100.0))
    expected = allowed_pairs(6, causal=True, window=2, documents=IDS)
    np.testing.assert_array_equal(to_numpy(mixed)[:, 0], expected)


@pytest.mark.parametrize("shape", [(3,), (2, 1, 1, 3, 3)])
def test_other_ranks_are_refused(shape):
    for form in (expand_mask, lambda mask: mask_bias(mask, "float32")):
        with pytest.raises(ValueError, match=r"`mask` must have shape .* Received: mask.shape="):
            form(np.ones(shape, "int32"))


def test_biases_are_no_masks():
    with pytest.raises(ValueError, match=r"`mask` must be boolean or integer.*'float32'"):
        mask_bias(np.zeros((2, 3), "float32"), "float32")
