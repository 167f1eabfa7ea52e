"""Wrong constructor arguments get one clear error each."""

import re
from typing import Any

import numpy as np
import pytest

from kzoo.arguments import check_choice, check_positive_numbers
from kzoo.layers import (
    BertEmbedding,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    LayerScale,
    LearnedPositions,
    MaskedLMHead,
    MultiHeadAttention,
    NextSentenceHead,
    NoNorm,
    PatchEmbedding,
    Pooler,
    ReplacedTokenHead,
    RMSNorm,
    SentenceOrderHead,
    SequenceClassificationHead,
    SpanHead,
    StochasticDepth,
    TokenClassificationHead,
    TokenEmbedding,
    TransformerBlock,
)

EMBEDDING = {"vocab_size": 5, "hidden_dim": 4, "max_length": 3}
PARTS: dict[str, Any] = {"attention": MultiHeadAttention(2), "feed_forward": FeedForward(8)}
COUNT = "`{}` must be an integer of at least 0. Received: {}="
POSITIVE_INTEGER = "`{}` must be a positive integer. Received: {}="
POSITIVE_NUMBER = "`{}` must be a positive number. Received: {}="
RATE = "`{}` must be a number in [0, 1). Received: {}="
CHOICE = "`{}` must be one of 'gelu', 'gelu_tanh', 'relu', 'silu', 'tanh'. Received: {}="
WRONG = [
    (BertEmbedding, {**EMBEDDING, "vocab_size": 0}, "vocab_size", POSITIVE_INTEGER),
    (BertEmbedding, {**EMBEDDING, "hidden_dim": -4}, "hidden_dim", POSITIVE_INTEGER),
    (BertEmbedding, {**EMBEDDING, "max_length": 2.0}, "max_length", POSITIVE_INTEGER),
    (BertEmbedding, {**EMBEDDING, "num_segments": None}, "num_segments", COUNT),
    (BertEmbedding, {**EMBEDDING, "embedding_dim": 0}, "embedding_dim", POSITIVE_INTEGER),
    (LearnedPositions, {"max_length": 4, "start": -1}, "start", COUNT),
    (BertEmbedding, {**EMBEDDING, "dropout": 1}, "dropout", RATE),
    (BertEmbedding, {**EMBEDDING, "norm_epsilon": 0.0}, "norm_epsilon", POSITIVE_NUMBER),
    (FeedForward, {"mlp_dim": "8"}, "mlp_dim", POSITIVE_INTEGER),
    (FeedForward, {"mlp_dim": 8, "activation": "gleu"}, "activation", CHOICE),
    (FeedForward, {"mlp_dim": 8, "dropout": 1.5}, "dropout", RATE),
    (GatedFeedForward, {"mlp_dim": 0}, "mlp_dim", POSITIVE_INTEGER),
    (GatedFeedForward, {"mlp_dim": 8, "activation": "glu"}, "activation", CHOICE),
    (LayerNorm, {"epsilon": -1e-12}, "epsilon", POSITIVE_NUMBER),
    (LayerScale, {"init_value": 0}, "init_value", POSITIVE_NUMBER),
    (MaskedLMHead, {"vocab_size": 0}, "vocab_size", POSITIVE_INTEGER),
    (MaskedLMHead, {"vocab_size": 3, "hidden_dim": 0}, "hidden_dim", POSITIVE_INTEGER),
    (MaskedLMHead, {"vocab_size": 3, "activation": None}, "activation", CHOICE),
    (MaskedLMHead, {"vocab_size": 3, "norm_epsilon": 0}, "norm_epsilon", POSITIVE_NUMBER),
    (NextSentenceHead, {"init_std": float("nan")}, "init_std", POSITIVE_NUMBER),
    (PatchEmbedding, {"patch_size": (4, 4), "hidden_dim": 8}, "patch_size", POSITIVE_INTEGER),
    (PatchEmbedding, {"patch_size": 4, "hidden_dim": 0}, "hidden_dim", POSITIVE_INTEGER),
    (Pooler, {"hidden_dim": 0}, "hidden_dim", POSITIVE_INTEGER),
    (Pooler, {"activation": "linear"}, "activation", CHOICE),
    (ReplacedTokenHead, {"activation": "elu"}, "activation", CHOICE),
    (ReplacedTokenHead, {"init_std": -0.02}, "init_std", POSITIVE_NUMBER),
    (RMSNorm, {"epsilon": 0}, "epsilon", POSITIVE_NUMBER),
    (SentenceOrderHead, {"dropout": 2}, "dropout", RATE),
    (SequenceClassificationHead, {"num_classes": 0}, "num_classes", POSITIVE_INTEGER),
    (SequenceClassificationHead, {"num_classes": 2, "dropout": -0.1}, "dropout", RATE),
    (SpanHead, {"dropout": "0"}, "dropout", RATE),
    (StochasticDepth, {"rate": 1}, "rate", RATE),
    (TokenClassificationHead, {"num_classes": "9"}, "num_classes", POSITIVE_INTEGER),
    (TokenEmbedding, {"vocab_size": 5, "hidden_dim": 4, "scale": 0.0}, "scale", POSITIVE_NUMBER),
    (TokenEmbedding, {"vocab_size": 5, "hidden_dim": True}, "hidden_dim", POSITIVE_INTEGER),
    (
        TransformerBlock,
        {**PARTS, "attention": 2},
        "attention",
        "`{}` must be a Keras layer. Received: {}=",
    ),
    (TransformerBlock, {**PARTS, "dropout": "x"}, "dropout", RATE),
    (TransformerBlock, {**PARTS, "norm_epsilon": 0}, "norm_epsilon", POSITIVE_NUMBER),
]


@pytest.mark.once
@pytest.mark.parametrize(("layer", "arguments", "name", "message"), WRONG)
def test_constructor_arguments(layer, arguments, name, message):
    expected = message.format(name, name) + repr(arguments[name])
    with pytest.raises(ValueError, match=re.escape(expected) + "$"):
        layer(**arguments)


@pytest.mark.once
@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (
            BertEmbedding(**EMBEDDING),
            (3,),
            r"must have shape \(B, T\). Received: token_ids.shape=\(3,\)",
        ),
        (FeedForward(8), (2, 4), "expected ndim=3, found ndim=2"),
        (LayerNorm(), (4,), "expected min_ndim=2, found ndim=1"),
        (GatedFeedForward(8), (2, 4), "expected ndim=3, found ndim=2"),
        (LayerScale(), (4,), "expected min_ndim=2, found ndim=1"),
        (NoNorm(), (4,), "expected min_ndim=2, found ndim=1"),
        (PatchEmbedding(2, 4), (4, 4, 3), "expected ndim=4, found ndim=3"),
        (RMSNorm(), (4,), "expected min_ndim=2, found ndim=1"),
        (StochasticDepth(0.1), (4,), "expected min_ndim=2, found ndim=1"),
        (NextSentenceHead(), (2, 3, 4), "expected ndim=2, found ndim=3"),
        (Pooler(), (2, 4), "expected ndim=3, found ndim=2"),
        (ReplacedTokenHead(), (2, 4), "expected ndim=3, found ndim=2"),
        (SentenceOrderHead(), (2, 3, 4), "expected ndim=2, found ndim=3"),
        (SequenceClassificationHead(2), (2, 3, 4), "expected ndim=2, found ndim=3"),
        (SpanHead(), (2, 4), "expected ndim=3, found ndim=2"),
        (TokenClassificationHead(2), (2, 4), "expected ndim=3, found ndim=2"),
        (TransformerBlock(**PARTS), (2, 4), "expected ndim=3, found ndim=2"),
    ],
)
def test_wrong_rank(layer, shape, expected):
    with pytest.raises(ValueError, match=expected):
        layer(np.ones(shape, "int32" if isinstance(layer, BertEmbedding) else "float32"))


@pytest.mark.once
def test_several_arguments_are_checked_in_order():
    check_choice(("a", "b"), one="a", two="b")
    with pytest.raises(ValueError, match=r"`two` must be a positive number. Received: two='2'"):
        check_positive_numbers(one=1, two="2", three=-3)
