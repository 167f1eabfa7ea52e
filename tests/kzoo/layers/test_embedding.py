"""Embeddings at their edges."""

import keras
import numpy as np
import pytest

from kzoo.layers import BertEmbedding
from tests.arrays import to_numpy

ARGUMENTS = {"vocab_size": 9, "hidden_dim": 4, "max_length": 5}
TOKEN_IDS = np.array([[1, 2, 3], [4, 5, 6]], "int32")


def test_no_segments_are_segment_zero():
    embedding = BertEmbedding(**ARGUMENTS)
    explicit = to_numpy(embedding(TOKEN_IDS, np.zeros_like(TOKEN_IDS)))
    np.testing.assert_array_equal(to_numpy(embedding(TOKEN_IDS)), explicit)
    other = to_numpy(embedding(TOKEN_IDS, np.ones_like(TOKEN_IDS)))
    assert np.abs(other - explicit).max() > 1e-3


def test_token_table_is_the_variable_itself():
    embedding = BertEmbedding(**ARGUMENTS)
    embedding(TOKEN_IDS)
    assert embedding.token_table is embedding.tokens.table
    assert embedding.tokens.vocab_size == ARGUMENTS["vocab_size"]


def test_dropout_acts_in_training_only():
    embedding = BertEmbedding(**ARGUMENTS, dropout=0.5)
    still = to_numpy(embedding(TOKEN_IDS))
    assert (still != 0).all()
    assert (to_numpy(embedding(TOKEN_IDS, training=True)) == 0).any()


def test_too_long_a_sequence_is_refused():
    embedding = BertEmbedding(**ARGUMENTS)
    with pytest.raises(ValueError, match=r"at most `max_length`=5 tokens. Received: length=6"):
        embedding(np.zeros((1, 6), "int32"))
    with pytest.raises(ValueError, match=r"at most `max_length`=5 tokens. Received: length=6"):
        BertEmbedding(**ARGUMENTS)(keras.Input((6,), dtype="int32"))
