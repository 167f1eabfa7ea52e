"""Masks become bounded biases."""

import numpy as np
import pytest

from kzoo.layers.attention.masks import MASK_BIAS, mask_bias
from tests.checks import to_numpy

MASK = np.array([[1, 1, 0], [0, 1, 1]])


@pytest.mark.parametrize("dtype", ["bool", "int32"])
def test_padding_mask(dtype):
    bias = to_numpy(mask_bias(MASK.astype(dtype), "float32"))
    expected = [[[[0, 0, MASK_BIAS]]], [[[MASK_BIAS, 0, 0]]]]
    np.testing.assert_array_equal(bias, expected)


def test_mask_of_each_query():
    mask = np.stack([MASK, 1 - MASK])
    bias = to_numpy(mask_bias(mask.astype("int32"), "float32"))
    assert bias.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(bias[:, 0], np.where(mask, 0, MASK_BIAS))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bias_is_bounded_yet_erases(dtype):
    # An int16 graph has 65536 steps for all scores: at most 0.01 each, to keep what they say.
    assert abs(MASK_BIAS) / 65536 < 0.01
    # Twenty score units above its neighbours a masked key still weighs nothing in float32.
    assert np.exp(np.float64(MASK_BIAS + 20)) < np.finfo("float32").eps
    assert to_numpy(mask_bias(MASK.astype("bool"), dtype)).min() == MASK_BIAS


@pytest.mark.parametrize("shape", [(3,), (2, 1, 1, 3, 3)])
def test_other_ranks_are_refused(shape):
    with pytest.raises(ValueError, match=r"`mask` must have shape .* Received: mask.shape="):
        mask_bias(np.ones(shape, "int32"), "float32")
