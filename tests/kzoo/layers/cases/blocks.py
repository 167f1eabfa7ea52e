"""Cases of embeddings, blocks and what blocks are made of."""

from functools import partial

from kzoo.layers import (
    BertEmbedding,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    LayerScale,
    MultiHeadAttention,
    NoNorm,
    PatchEmbedding,
    RMSNorm,
    StochasticDepth,
    TiedProjection,
    TokenEmbedding,
    TransformerBlock,
)
from tests.kzoo.layers.cases.attention import BIAS
from tests.kzoo.layers.cases.case import (
    CAUSAL_MASK,
    CONTEXT,
    CONTEXT_MASK,
    HIDDEN,
    IMAGES,
    PADDING_MASK,
    SEGMENT_IDS,
    TABLE,
    TOKEN_IDS,
    Case,
    D,
    T,
    V,
)
from tests.reference import blocks as reference
from tests.reference.attention import multi_head_attention
from tests.reference.basics import ACTIVATIONS

ATTENTION = {"attention": MultiHeadAttention(num_heads=2, name="attention")}
PARTS = {**ATTENTION, "feed_forward": FeedForward(mlp_dim=12, name="feed_forward")}
GATED_PARTS = {**ATTENTION, "feed_forward": GatedFeedForward(mlp_dim=12, name="feed_forward")}

block = partial(reference.transformer_block, attend=partial(multi_head_attention, num_heads=2))
CASES = {
    "layer_norm": Case(LayerNorm, {}, {"inputs": HIDDEN}, reference.layer_norm),
    "layer_norm_no_bias": Case(
        LayerNorm, {"use_bias": False}, {"inputs": HIDDEN}, reference.layer_norm
    ),
    "layer_norm_epsilon": Case(
        LayerNorm, {"epsilon": 0.1}, {"inputs": HIDDEN}, partial(reference.layer_norm, epsilon=0.1)
    ),
    "token_embedding": Case(
        TokenEmbedding,
        {"vocab_size": V, "hidden_dim": D},
        {"token_ids": TOKEN_IDS},
        reference.token_embedding,
    ),
    "token_embedding_scaled": Case(
        TokenEmbedding,
        {"vocab_size": V, "hidden_dim": D, "scale": 3.0},
        {"token_ids": TOKEN_IDS},
        partial(reference.token_embedding, scale=3.0),
    ),
    "tied_projection": Case(
        TiedProjection,
        {"use_bias": True},
        {"hidden": HIDDEN, "token_table": TABLE},
        reference.tied_projection,
        ("token_table",),
    ),
    "patch_embedding": Case(
        PatchEmbedding,
        {"patch_size": 2, "hidden_dim": D},
        {"images": IMAGES},
        partial(reference.patch_embedding, patch_size=2),
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
    "bert_embedding_no_segments_from_position_2": Case(
        BertEmbedding,
        {
            "vocab_size": V,
            "hidden_dim": D,
            "max_length": T,
            "num_segments": 0,
            "position_start": 2,
            "embedding_dim": 6,
        },
        {"token_ids": TOKEN_IDS},
        partial(reference.bert_embedding, position_start=2),
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
    "gated_feed_forward_silu": Case(
        GatedFeedForward, {"mlp_dim": 12}, {"hidden": HIDDEN}, reference.gated_feed_forward
    ),
    "gated_feed_forward_gelu": Case(
        GatedFeedForward,
        {"mlp_dim": 12, "activation": "gelu", "use_bias": True},
        {"hidden": HIDDEN},
        partial(reference.gated_feed_forward, activation="gelu"),
    ),
    "layer_scale": Case(LayerScale, {"init_value": 0.1}, {"inputs": HIDDEN}, reference.layer_scale),
    "stochastic_depth": Case(
        StochasticDepth, {"rate": 0.5}, {"inputs": HIDDEN}, reference.stochastic_depth
    ),
    "rms_norm": Case(RMSNorm, {}, {"inputs": HIDDEN}, reference.rms_norm),
    "no_norm": Case(NoNorm, {}, {"inputs": HIDDEN}, reference.no_norm),
    "block_post": Case(
        TransformerBlock,
        {**PARTS, "norm": "no_norm"},
        {"hidden": HIDDEN, "mask": PADDING_MASK},
        partial(block, norm=reference.no_norm),
    ),
    "block_cross": Case(
        TransformerBlock,
        {**PARTS, "cross_attention": MultiHeadAttention(num_heads=2, name="cross_attention")},
        {
            "hidden": HIDDEN,
            "mask": PADDING_MASK,
            "context": CONTEXT,
            "context_mask": CONTEXT_MASK,
            "position_bias": BIAS,
        },
        block,
    ),
    "block_cross_sandwich": Case(
        TransformerBlock,
        {
            **PARTS,
            "cross_attention": MultiHeadAttention(num_heads=2, name="cross_attention"),
            "residual": "sandwich",
            "layer_scale": 0.5,
        },
        {"hidden": HIDDEN, "context": CONTEXT},
        partial(block, residual="sandwich"),
    ),
    "block_cross_parallel": Case(
        TransformerBlock,
        {
            **PARTS,
            "cross_attention": MultiHeadAttention(num_heads=2, name="cross_attention"),
            "residual": "parallel",
        },
        {"hidden": HIDDEN, "context": CONTEXT, "context_mask": CONTEXT_MASK},
        partial(block, residual="parallel"),
    ),
    "block_pre": Case(
        TransformerBlock,
        {**GATED_PARTS, "residual": "pre", "norm": "rms_norm", "layer_scale": 0.5},
        {"hidden": HIDDEN, "mask": CAUSAL_MASK},
        partial(
            block,
            residual="pre",
            norm=partial(reference.rms_norm, epsilon=1e-12),
            feed=reference.gated_feed_forward,
        ),
    ),
    "block_sandwich": Case(
        TransformerBlock,
        {**PARTS, "residual": "sandwich", "stochastic_depth": 0.1},
        {"hidden": HIDDEN},
        partial(block, residual="sandwich"),
    ),
    "block_parallel": Case(
        TransformerBlock,
        {**PARTS, "residual": "parallel"},
        {"hidden": HIDDEN},
        partial(block, residual="parallel"),
    ),
}
