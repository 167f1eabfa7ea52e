"""A masked key weighs nothing, whatever its score and its position's bias."""

import keras
import numpy as np
import pytest

from kzoo.layers import MultiHeadAttention, static_graph
from tests.arrays import assert_close, to_numpy
from tests.checks import FLOAT32_TOLERANCE, compiled
from tests.kzoo.layers.cases import masked

# Scores of one row differ by up to 600 here, and ALiBi's biases by 255.
LARGEST_SCORE = 300.0


@pytest.mark.parametrize("mask", masked.MASKS)
@pytest.mark.parametrize("position", masked.POSITIONS)
def test_large_scores_agree_with_the_oracle(position, mask):
    layer = masked.make(position, mask, LARGEST_SCORE)
    expected = masked.expected(layer, position, mask)
    assert_close(layer(masked.HIDDEN, **masked.MASKS[mask].call), expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("position", masked.POSITIONS)
def test_compiled_large_scores_agree_with_the_oracle(position):
    layer = masked.make(position, "everything", LARGEST_SCORE)
    expected = masked.expected(layer, position, "everything")
    inputs = {"query": masked.HIDDEN, **masked.MASKS["everything"].call}
    assert_close(compiled(layer, inputs), expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("mask", masked.MASKS)
@pytest.mark.parametrize("position", masked.POSITIONS)
def test_static_graph_agrees_at_ordinary_scores(position, mask):
    layer = masked.make(position, mask, 20.0)
    with static_graph():
        output = layer(masked.HIDDEN, **masked.MASKS[mask].call)
    # A row that is masked everywhere has scores near -400, which float32 resolves to 3e-5.
    assert_close(output, masked.expected(layer, position, mask), 5e-5)


def test_weights_of_masked_keys_are_zero():
    layer = masked.make("alibi", "pairs", LARGEST_SCORE)
    seen = np.broadcast_to(masked.PAIRS[:, None], (masked.B, masked.N, masked.T, masked.T))
    weights = to_numpy(layer(masked.HIDDEN, mask=masked.PAIRS, return_scores=True)[1])
    rows = seen.any(-1)
    assert (weights[rows][~seen[rows]] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)


def test_masked_token_changes_no_bit_of_others():
    layer = masked.make("alibi", "pairs", LARGEST_SCORE)
    others = np.arange(masked.T) != 7
    mask = masked.PAIRS & others
    changed = np.where(others[:, None], masked.HIDDEN, -50.0 * masked.HIDDEN)
    first, second = (to_numpy(layer(hidden, mask=mask)) for hidden in (masked.HIDDEN, changed))
    rows = mask.any(-1) & others
    np.testing.assert_array_equal(first[rows], second[rows])


@pytest.mark.parametrize("position", masked.POSITIONS)
def test_gradients_are_finite_and_zero_at_masked_keys(position):
    layer = masked.make(position, "everything", LARGEST_SCORE)
    model_input = keras.ops.convert_to_tensor(masked.HIDDEN)
    gradient = input_gradient(
        lambda hidden: layer(hidden, **masked.MASKS["everything"].call), model_input
    )
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def input_gradient(function, inputs):
    """Return the gradient of the sum of a function's squares."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: (function(x) ** 2).sum())(inputs))
    if backend == "torch":
        inputs = inputs.detach().requires_grad_()
        (function(inputs) ** 2).sum().backward()
        return inputs.grad.cpu().numpy()
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(function(inputs) ** 2)
    return tape.gradient(loss, inputs).numpy()


@pytest.mark.once
def test_bounded_bias_is_noticed():
    layer = masked.make("none", "pairs", LARGEST_SCORE)
    expected = masked.expected(layer, "none", "pairs")
    with static_graph():  # whose bound is for scores of 70 from the largest to the least
        leaking = layer(masked.HIDDEN, mask=masked.PAIRS)
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(leaking, expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_exact_too(policy):
    layer = MultiHeadAttention(1, head_dim=1, use_bias=False, dtype=policy)
    hidden = np.array([[[1.0], [200.0]]], "float32")
    layer.build(hidden.shape)
    for part in (layer.query, layer.key, layer.value, layer.out):
        part.kernel.assign(np.ones((1, 1)))
    output = to_numpy(keras.ops.cast(layer(hidden, mask=np.array([[1, 0]])), "float32"))
    assert output[0, 0, 0] == 1.0
