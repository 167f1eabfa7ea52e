"""Heads at the edges of what they may be called with."""

import re

import keras
import numpy as np
import pytest

from kzoo.layers import SpanHead
from tests.arrays import to_numpy
from tests.kzoo.layers.cases import heads

# Heads that score; the poolers have tests of their own.
NAMES = [name for name in heads.CASES if name.endswith(("head", "head_free"))]


def call(name, inputs, **options):
    case = heads.CASES[name]
    layer = case.make(**options)
    output = layer(**inputs)
    return to_numpy(keras.ops.cast(output, "float32"))


def varied(name, change):
    """The inputs of a case, those that have a batch axis changed."""
    inputs = heads.CASES[name].inputs
    return {key: array if key == "token_table" else change(array) for key, array in inputs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch(name):
    assert call(name, varied(name, lambda array: array[:0])).shape[0] == 0


@pytest.mark.parametrize("name", [name for name in NAMES if "hidden" in heads.CASES[name].inputs])
def test_one_position(name):
    inputs = varied(name, lambda array: array[:, :1] * (array.dtype.kind == "f"))
    assert call(name, inputs).shape[:2] == (2, 1)


def test_no_predictions():
    name = "masked_lm_head"
    inputs = {**heads.CASES[name].inputs, "mask_positions": np.zeros((2, 0), "int32")}
    assert call(name, inputs).size == 0


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_large_numbers_stay_finite_in_half_precision(name, dtype):
    inputs = varied(name, lambda a: 1e4 * np.sign(a) if a.dtype == np.float32 else a)
    assert np.isfinite(call(name, inputs, dtype=dtype)).all()


@pytest.mark.once
def test_span_needs_one_mask_for_all_its_ends():
    hidden = np.ones((2, 5, 8), "float32")
    message = re.escape("`padding_mask` must have shape (B, T), with B=2, T=5. Received: ")
    with pytest.raises(ValueError, match=message):
        SpanHead()(hidden, np.ones((2, 5, 1), "int32"))


def test_padding_never_wins_a_span():
    """Whatever is computed at padding; and a row without any real position is even."""
    hidden = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], "int32")
    hidden[:, 3:] *= 1e4
    logits = to_numpy(SpanHead(init_std=1.0)(hidden, mask))
    chances = to_numpy(keras.ops.softmax(logits, axis=1))
    assert chances[0, 3:].max() < 1e-30
    np.testing.assert_allclose(chances[1], 0.2, rtol=1e-6)
