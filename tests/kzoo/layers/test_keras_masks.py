"""Masks that Keras attaches to tensors are obeyed, and reach the layers that follow."""

import re
from functools import partial

import keras
import numpy as np
import pytest

from kzoo.layers import (
    FeedForward,
    LayerNorm,
    MaxPooling,
    MeanPooling,
    MultiHeadAttention,
    RMSNorm,
    SpanHead,
    TokenClassificationHead,
    TransformerBlock,
)
from kzoo.layers.residual import RESIDUALS
from tests.arrays import to_numpy

V, D, N, T = 9, 8, 2, 6
IDS = np.array([[3, 4, 5, 0, 0, 0], [5, 1, 0, 0, 0, 0]], "int32")
MASK = IDS > 0
SHORT = IDS[:, :3]
# The same float32 sums, with zeros among them.
ROUNDING = 1e-5


def attention() -> MultiHeadAttention:
    return MultiHeadAttention(N, init_std=0.5)


def block(residual: str = "post") -> TransformerBlock:
    return TransformerBlock(attention(), FeedForward(16, init_std=0.5), residual=residual)


def embedding() -> keras.layers.Embedding:
    return keras.layers.Embedding(V, D, mask_zero=True, embeddings_initializer="normal")


STACKS = {
    "attention": lambda: [attention(), attention()],
    "normed": lambda: [attention(), LayerNorm(), keras.layers.Dropout(0.1), RMSNorm(), attention()],
    "mixed": lambda: [block(), keras.layers.Dense(D), attention(), FeedForward(8), block("pre")],
    **{name: partial(lambda name: [block(name), block(name)], name) for name in RESIDUALS},
}


def functional(layers: list[keras.layers.Layer]) -> keras.Model:
    ids = keras.Input((None,), dtype="int32")
    hidden = embedding()(ids)
    for layer in layers:
        hidden = layer(hidden)
    return keras.Model(ids, hidden)


def sequential(layers: list[keras.layers.Layer]) -> keras.Model:
    return keras.Sequential([embedding(), *layers])


class Eager(keras.Model):
    """A model without a graph."""

    def __init__(self, layers: list[keras.layers.Layer]) -> None:
        super().__init__()
        self.embedding, self.stack = embedding(), layers

    def call(self, ids):
        hidden = self.embedding(ids)
        for layer in self.stack:
            hidden = layer(hidden)
        return hidden


@pytest.mark.parametrize("make", [functional, sequential, Eager])
@pytest.mark.parametrize("stack", STACKS)
def test_padding_changes_nothing_in_any_layer(stack, make):
    model = make(STACKS[stack]())
    padded, short = (to_numpy(model(ids)) for ids in (IDS, SHORT))
    real = MASK[:, :3]
    np.testing.assert_allclose(padded[:, :3][real], short[real], atol=ROUNDING)
    np.testing.assert_allclose(model.predict(IDS, verbose=0)[MASK], padded[MASK], atol=ROUNDING)
    np.testing.assert_array_equal(to_numpy(model(IDS)._keras_mask), MASK)


def test_attached_mask_is_that_of_the_call():
    tokens = embedding()(IDS)
    for layer in (attention(), block()):
        explicit = layer(keras.ops.copy(tokens), mask=MASK)
        np.testing.assert_allclose(to_numpy(layer(tokens)), to_numpy(explicit), atol=ROUNDING)
        assert getattr(explicit, "_keras_mask", None) is None  # a mask of the call ends with it


@pytest.mark.parametrize("rank", [2, 3])
def test_both_masks_are_obeyed(rank):
    tokens, layer = embedding()(IDS), attention()
    given = np.stack([np.arange(T) != 1 if rank == 2 else np.tri(T, dtype=bool)] * 2)
    both = given & (MASK if rank == 2 else MASK[:, None])
    expected = to_numpy(layer(keras.ops.copy(tokens), mask=both))
    for form in (given, given.astype("int32")):
        np.testing.assert_allclose(to_numpy(layer(tokens, mask=form)), expected, atol=ROUNDING)


def test_context_keeps_its_mask_and_the_query_carries_its_own_on():
    tokens, layer = embedding()(IDS), attention()
    query = np.random.default_rng(0).normal(size=(2, 4, D)).astype("float32")
    expected = to_numpy(layer(query, keras.ops.copy(tokens), mask=MASK))
    crossed = layer(query, tokens)
    np.testing.assert_allclose(to_numpy(crossed), expected, atol=ROUNDING)
    assert getattr(crossed, "_keras_mask", None) is None
    np.testing.assert_array_equal(to_numpy(layer(tokens, query)._keras_mask), MASK)


@pytest.mark.parametrize("head", [MaxPooling, MeanPooling, SpanHead])
def test_heads_obey_attached_masks(head):
    tokens, layer = embedding()(IDS), head()
    bare = keras.ops.copy(tokens)
    expected = to_numpy(layer(bare, padding_mask=MASK))
    np.testing.assert_allclose(to_numpy(layer(tokens)), expected, atol=ROUNDING)
    fewer = MASK & (np.arange(T) != 0)
    expected = to_numpy(layer(bare, padding_mask=fewer))
    given = np.stack([np.arange(T) != 0] * 2)
    merged = to_numpy(layer(tokens, padding_mask=given))
    np.testing.assert_allclose(merged, expected, atol=ROUNDING)
    everything = to_numpy(layer(bare, padding_mask=np.ones_like(MASK)))
    np.testing.assert_allclose(to_numpy(layer(bare)), everything, atol=ROUNDING)


def test_loss_leaves_padding_out():
    model = sequential([block(), TokenClassificationHead(3)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.ones((2, T), "int32")
    loss = model.evaluate(IDS, labels, verbose=0)
    others = np.where(MASK, labels, 2)
    assert model.evaluate(IDS, others, verbose=0) == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (attention, {"mask": np.tri(T, dtype=bool)}, "with B=2, T=6, S=6. Received: mask.shape="),
        (attention, {"mask": np.ones((3, T), bool)}, "Received: mask.shape=(3, 6)"),
        (attention, {"mask": np.ones((2, T, T - 1), bool)}, "Received: mask.shape=(2, 6, 5)"),
        (attention, {"document_ids": np.ones((3, T), "int32")}, "`document_ids` must have shape"),
        (attention, {"context": np.ones((3, 4, D))}, "`context` must have the batch size of"),
        (block, {"mask": np.tri(T, dtype=bool)}, "`mask` must have shape (B, S) or (B, T, S)"),
        (MeanPooling, {"padding_mask": np.ones((2, T - 1))}, "`padding_mask` must be boolean"),
        (MeanPooling, {"padding_mask": np.ones((2, T - 1), bool)}, "must have shape (B, T), with"),
        (SpanHead, {"padding_mask": np.ones((2, T, T), bool)}, "must have shape (B, T), with"),
    ],
)
def test_masks_of_another_shape_are_refused(layer, arguments, message):
    hidden = np.ones((2, T, D), "float32")
    with pytest.raises(ValueError, match=re.escape(message)):
        layer()(hidden, **arguments)


@pytest.mark.parametrize("form", [(1, T), (1, T, T)])
def test_one_mask_for_all_samples_broadcasts(form):
    hidden, layer = np.random.default_rng(0).normal(size=(2, T, D)).astype("float32"), attention()
    mask = np.random.default_rng(1).random(form) < 0.5
    expected = to_numpy(layer(hidden, mask=np.repeat(mask, 2, axis=0)))
    np.testing.assert_allclose(to_numpy(layer(hidden, mask=mask)), expected, atol=ROUNDING)


def test_square_mask_never_multiplies_samples_in_a_compiled_model():
    hidden = keras.Input((T, D))
    model = keras.Model(hidden, attention()(hidden, mask=np.tri(T, dtype=bool)))
    # The batch size is known when the model runs: each backend refuses in its own words.
    with pytest.raises(Exception, match=r"shape|size|values"):
        model.predict(np.ones((2, T, D), "float32"), verbose=0)
