"""Every public layer keeps the layer contract."""

import doctest
import importlib
import pkgutil
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import kzoo.layers
from kzoo.layers import (
    BertEmbedding,
    FeedForward,
    LayerNorm,
    LearnedPositions,
    MaskedLMHead,
    MeanPooling,
    MultiHeadAttention,
    NextSentenceHead,
    Pooler,
    SinusoidalPositions,
    TokenEmbedding,
    TransformerBlock,
)
from tests import reference
from tests.checks import Inputs, Oracle, check_layer

B, T, S, D, V, P = 2, 5, 7, 8, 11, 3

random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
CONTEXT = random.normal(size=(B, S, 6)).astype("float32")
TABLE = random.normal(size=(V, D)).astype("float32")
TOKEN_IDS = random.integers(0, V, (B, T)).astype("int32")
SEGMENT_IDS = random.integers(0, 2, (B, T)).astype("int32")
MASK_POSITIONS = random.integers(0, T, (B, P)).astype("int32")
PADDING_MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], "int32")  # one row has no real token
CAUSAL_MASK = np.tril(np.ones((B, T, T), bool))
CONTEXT_MASK = np.array([[1, 1, 1, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1, 0]], bool)


class Case(NamedTuple):
    layer: type[keras.layers.Layer]
    arguments: dict[str, Any]
    inputs: Inputs
    oracle: Oracle
    fixed: tuple[str, ...] = ()


attend = reference.multi_head_attention
block = reference.transformer_block
CASES = {
    "attention": Case(
        MultiHeadAttention, {"num_heads": 2}, {"query": HIDDEN}, partial(attend, num_heads=2)
    ),
    "attention_padding": Case(
        MultiHeadAttention,
        {"num_heads": 4, "use_bias": False},
        {"query": HIDDEN, "mask": PADDING_MASK},
        partial(attend, num_heads=4),
    ),
    "attention_causal": Case(
        MultiHeadAttention,
        {"num_heads": 2},
        {"query": HIDDEN, "mask": CAUSAL_MASK},
        partial(attend, num_heads=2),
    ),
    "attention_cross": Case(
        MultiHeadAttention,
        {"num_heads": 3, "head_dim": 5},
        {"query": HIDDEN, "context": CONTEXT, "mask": CONTEXT_MASK},
        partial(attend, num_heads=3),
    ),
    "sinusoidal_positions": Case(
        SinusoidalPositions, {}, {"hidden": HIDDEN}, reference.sinusoidal_positions
    ),
    "sinusoidal_positions_short": Case(
        SinusoidalPositions,
        {"max_wavelength": 50.0},
        {"hidden": HIDDEN},
        partial(reference.sinusoidal_positions, max_wavelength=50.0),
    ),
    "learned_positions": Case(
        LearnedPositions, {"max_length": T + 2}, {"hidden": HIDDEN}, reference.learned_positions
    ),
    "layer_norm": Case(LayerNorm, {}, {"inputs": HIDDEN}, reference.layer_norm),
    "layer_norm_epsilon": Case(
        LayerNorm, {"epsilon": 0.1}, {"inputs": HIDDEN}, partial(reference.layer_norm, epsilon=0.1)
    ),
    "token_embedding": Case(
        TokenEmbedding,
        {"vocab_size": V, "hidden_dim": D},
        {"token_ids": TOKEN_IDS},
        reference.token_embedding,
    ),
    "bert_embedding": Case(
        BertEmbedding,
        {"vocab_size": V, "hidden_dim": D, "max_length": T},
        {"token_ids": TOKEN_IDS, "segment_ids": SEGMENT_IDS},
        reference.bert_embedding,
    ),
    "bert_embedding_one_segment": Case(
        BertEmbedding,
        {"vocab_size": V, "hidden_dim": D, "max_length": T, "num_segments": 1},
        {"token_ids": TOKEN_IDS},
        reference.bert_embedding,
    ),
    **{
        f"feed_forward_{activation}": Case(
            FeedForward,
            {"mlp_dim": 12, "activation": activation},
            {"hidden": HIDDEN},
            partial(reference.feed_forward, activation=activation),
        )
        for activation in reference.ACTIVATIONS
    },
    "block": Case(
        TransformerBlock,
        {"num_heads": 2, "mlp_dim": 12},
        {"hidden": HIDDEN, "mask": PADDING_MASK},
        partial(block, num_heads=2),
    ),
    "block_norm_first": Case(
        TransformerBlock,
        {"num_heads": 2, "mlp_dim": 12, "norm_first": True, "activation": "gelu_tanh"},
        {"hidden": HIDDEN, "mask": CAUSAL_MASK},
        partial(block, num_heads=2, norm_first=True, activation="gelu_tanh"),
    ),
    "pooler": Case(Pooler, {}, {"hidden": HIDDEN}, reference.pooler),
    "pooler_wide": Case(
        Pooler,
        {"hidden_dim": 3, "activation": "relu"},
        {"hidden": HIDDEN},
        partial(reference.pooler, activation="relu"),
    ),
    "mean_pooling": Case(
        MeanPooling, {}, {"hidden": HIDDEN, "padding_mask": PADDING_MASK}, reference.mean_pooling
    ),
    "next_sentence_head": Case(
        NextSentenceHead, {}, {"pooled": HIDDEN[:, 0]}, reference.next_sentence_head
    ),
    "masked_lm_head": Case(
        MaskedLMHead,
        {"vocab_size": V},
        {"hidden": HIDDEN, "mask_positions": MASK_POSITIONS, "token_table": TABLE},
        reference.masked_lm_head,
        ("token_table",),
    ),
}
LAYERS: set[type[keras.layers.Layer]] = {
    value
    for value in (getattr(kzoo.layers, name) for name in kzoo.layers.__all__)
    if isinstance(value, type)
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    layer = case.layer(**case.arguments, name=name)
    check_layer(layer, case.inputs, case.oracle, tmp_path, case.fixed)


@pytest.mark.once
def test_every_public_layer_has_a_case() -> None:
    assert {case.layer for case in CASES.values()} == LAYERS


@pytest.mark.once
@pytest.mark.parametrize("layer", sorted(LAYERS, key=str))
def test_documented_and_registered(layer: type[keras.layers.Layer]) -> None:
    for section in ("Args:", "Call arguments:", "Call returns:", "Example:", "References:"):
        assert f"\n    {section}\n" in (layer.__doc__ or "")
    assert keras.saving.get_registered_name(layer) == f"kzoo>{layer.__name__}"
    assert layer.__mro__[1] is keras.layers.Layer


@pytest.mark.parametrize(
    "module", [found.name for found in pkgutil.walk_packages(kzoo.layers.__path__, "kzoo.layers.")]
)
def test_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
