"""The transformer block: where dropout acts and where errors come from."""

import numpy as np
import pytest

from kzoo.layers import TransformerBlock
from tests.checks import to_numpy

HIDDEN = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_each_dropout_acts_in_training_only(rate, norm_first):
    block = TransformerBlock(
        num_heads=2, mlp_dim=16, norm_first=norm_first, init_std=0.5, **{rate: 0.5}
    )
    still = to_numpy(block(HIDDEN))
    np.testing.assert_array_equal(to_numpy(block(HIDDEN, training=False)), still)
    first, second = (to_numpy(block(HIDDEN, training=True)) for _ in range(2))
    assert np.abs(first - still).max() > 1e-2
    assert np.abs(first - second).max() > 1e-2


def test_padding_does_not_change_real_positions():
    block = TransformerBlock(num_heads=2, mlp_dim=16, init_std=0.5)
    short = to_numpy(block(HIDDEN[:, :3]))
    padded = to_numpy(block(HIDDEN, mask=np.array([[1, 1, 1, 0, 0]] * 2, "int32")))
    np.testing.assert_allclose(padded[:, :3], short, atol=2e-6)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` must divide .* 8.* Received: num_heads=3"):
        TransformerBlock(num_heads=3, mlp_dim=16)(HIDDEN)
