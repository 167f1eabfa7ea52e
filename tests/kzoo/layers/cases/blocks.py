"""Cases of embeddings, blocks and what blocks are made of."""

from functools import partial

from kzoo.layers import BertEmbedding, FeedForward, LayerNorm, TokenEmbedding, TransformerBlock
from tests.kzoo.layers.cases.case import (
    CAUSAL_MASK,
    HIDDEN,
    PADDING_MASK,
    SEGMENT_IDS,
    TOKEN_IDS,
    Case,
    D,
    T,
    V,
)
from tests.reference import blocks as reference
from tests.reference.basics import ACTIVATIONS

block = reference.transformer_block
CASES = {
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
        for activation in ACTIVATIONS
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
}
