"""Multi-head attention beside Keras' own, and its arguments."""

import keras
import numpy as np
import pytest

from kzoo.layers import MultiHeadAttention
from tests.checks import assert_close, randomize, to_numpy

B, T, S, N, H, D = 2, 5, 7, 3, 4, 12
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
CONTEXT = random.normal(size=(B, S, 6)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], bool)


@pytest.mark.parametrize("context", [None, CONTEXT], ids=["self", "cross"])
def test_agrees_with_keras(context):
    ours = MultiHeadAttention(num_heads=N, head_dim=H)
    theirs = keras.layers.MultiHeadAttention(num_heads=N, key_dim=H)
    attended = HIDDEN if context is None else context
    mask = PADDING_MASK if context is None else random.random((B, S)) < 0.7
    ours(HIDDEN, context)
    theirs(HIDDEN, attended)
    randomize(ours)
    projections = {"query": ours.query, "key": ours.key, "value": ours.value}
    for name, dense in projections.items():
        reshaped = dense.kernel.shape[0], N, H
        target = getattr(theirs, f"{name}_dense")
        target.set_weights(
            [to_numpy(dense.kernel).reshape(reshaped), dense.bias.numpy().reshape(N, H)]
        )
    theirs.output_dense.set_weights([to_numpy(ours.out.kernel).reshape(N, H, D), ours.out.bias])
    expected = theirs(HIDDEN, attended, attention_mask=mask[:, None, :])
    # The same float32 sums, in another order.
    assert_close(ours(HIDDEN, context, mask=mask), to_numpy(expected), 1e-5)


def test_a_context_equal_to_the_query_is_self_attention():
    layer = MultiHeadAttention(num_heads=N)
    alone = to_numpy(layer(HIDDEN, mask=PADDING_MASK))
    np.testing.assert_array_equal(to_numpy(layer(HIDDEN, HIDDEN, mask=PADDING_MASK)), alone)


def test_padding_does_not_change_real_positions():
    layer = MultiHeadAttention(num_heads=N)
    short = to_numpy(layer(HIDDEN[:, :3], mask=np.ones((B, 3), "int32")))
    mask = np.array([[1, 1, 1, 0, 0]] * B, "int32")
    padded = to_numpy(layer(HIDDEN, mask=mask))
    np.testing.assert_allclose(padded[:, :3], short, atol=1e-6)


def test_one_layer_takes_any_length():
    layer = MultiHeadAttention(num_heads=N)
    for length in (1, 3, T):
        assert tuple(layer(HIDDEN[:, :length]).shape) == (B, length, D)


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


def test_keras_masks_are_taken_and_not_passed_on():
    tokens = keras.layers.Embedding(9, D, mask_zero=True)(np.array([[3, 4, 0], [5, 0, 0]], "int32"))
    layer = MultiHeadAttention(num_heads=N)
    implied = layer(tokens)
    explicit = layer(keras.ops.copy(tokens), mask=np.array([[1, 1, 0], [1, 0, 0]], bool))
    np.testing.assert_array_equal(to_numpy(implied), to_numpy(explicit))
    assert getattr(implied, "_keras_mask", None) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, r"`num_heads` must be a positive integer. Received: num_heads=0"),
        ({"num_heads": True}, r"`num_heads` must be a positive integer. Received: num_heads=True"),
        ({"num_heads": 2, "head_dim": 1.5}, r"`head_dim` must be a positive integer"),
        ({"num_heads": 2, "dropout": 1.0}, r"`dropout` must be a number in \[0, 1\)"),
        ({"num_heads": 2, "dropout": -0.1}, r"`dropout` must be a number in \[0, 1\)"),
        ({"num_heads": 2, "init_std": 0}, r"`init_std` must be a positive number"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**arguments)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` must divide .* 12.* Received: num_heads=5"):
        MultiHeadAttention(num_heads=5)(HIDDEN)


def test_wrong_rank():
    with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=2"):
        MultiHeadAttention(num_heads=N)(HIDDEN[0])
    with pytest.raises(ValueError, match=r"`mask` must have shape \(B, S\) or \(B, T, S\)"):
        MultiHeadAttention(num_heads=N)(HIDDEN, mask=np.ones((B, 1, T, T), bool))
