"""The transformer block: where dropout acts and where errors come from."""

import keras
import numpy as np
import pytest

from kzoo.layers import FeedForward, GatedFeedForward, MultiHeadAttention, TransformerBlock
from tests.checks import to_numpy

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
