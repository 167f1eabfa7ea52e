"""Layers made of layers."""

import keras
import numpy as np
import pytest

from kzoo.layers import FeedForward, MultiHeadAttention, TransformerBlock

HIDDEN = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


def parts(**options):
    return {
        "attention": MultiHeadAttention(2, **options),
        "feed_forward": FeedForward(4, **options),
    }


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (3, r"`attention` must be a Keras layer\. Received: attention=3"),
        (MultiHeadAttention, r"`attention` must be a Keras layer\. Received: attention=<class"),
        (
            MultiHeadAttention(2, dtype="bfloat16"),
            r"`attention` must have the dtype policy .*'float32'\. Received: .*'bfloat16'",
        ),
    ],
)
def test_wrong_part_is_one_clear_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        TransformerBlock(**{**parts(), "attention": wrong})


@pytest.mark.once
def test_part_belongs_to_one_layer():
    shared = parts()
    one, other = TransformerBlock(**shared), TransformerBlock(**shared)
    one(HIDDEN)
    with pytest.raises(ValueError, match=r"`attention` must be a new layer.*built already"):
        other(HIDDEN)
    with pytest.raises(ValueError, match=r"`attention` must be a new layer.*built already"):
        TransformerBlock(**shared)


@pytest.mark.once
def test_parts_follow_the_dtype_of_a_config():
    config = TransformerBlock(**parts()).get_config()
    half = TransformerBlock.from_config({**config, "dtype": "mixed_bfloat16"})
    assert half.attention.dtype_policy.name == "mixed_bfloat16"
    assert half.feed_forward.dtype_policy.name == "mixed_bfloat16"
    assert half.attention.weights_dropout.dtype_policy.name == "mixed_bfloat16"


def test_building_a_part_leaves_its_config():
    block = TransformerBlock(**parts())
    before = block.get_config()
    block(HIDDEN)
    assert block.get_config() == before
    assert "build_config" not in before["attention"]


def test_global_policy_reaches_every_part():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        block = TransformerBlock(**parts())
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(block(HIDDEN).dtype) == "bfloat16"
