"""Cases of attention; those with positions are among the positions."""

from functools import partial
from typing import Any

import numpy as np

from kzoo.layers import MultiHeadAttention
from tests.kzoo.layers.cases.case import CONTEXT, CONTEXT_MASK, HIDDEN, PADDING_MASK, B, Case, S, T
from tests.reference import attention as reference

attend = reference.multi_head_attention
DOCUMENT_IDS = np.array([[0, 0, 1, 1, 1], [3, 3, 3, 3, 5]], "int32")
PAIRS_MASK = np.random.default_rng(2).random((B, T, T)) < 0.7
BIAS = np.random.default_rng(3).normal(size=(B, 2, T, T)).astype("float32")
CROSS_BIAS = np.random.default_rng(4).normal(size=(B, 1, T, S)).astype("float32")
PAIRS_MASK[1, 3, 0] = True  # one place beyond the window, in the same document
EVERYTHING: dict[str, Any] = {
    "num_heads": 4,
    "num_kv_heads": 2,
    "causal": True,
    "window": 3,
    "soft_cap": 2.0,
}
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
        {"num_heads": 2, "num_kv_heads": 1, "causal": True},
        {"query": HIDDEN},
        partial(attend, num_heads=2, num_kv_heads=1, causal=True),
    ),
    "attention_cross": Case(
        MultiHeadAttention,
        {"num_heads": 3, "head_dim": 5},
        {"query": HIDDEN, "context": CONTEXT, "mask": CONTEXT_MASK},
        partial(attend, num_heads=3),
    ),
    "attention_scaled": Case(
        MultiHeadAttention,
        {"num_heads": 2, "score_scale": 1.5},
        {"query": HIDDEN, "mask": PADDING_MASK, "position_bias": BIAS},
        partial(attend, num_heads=2, score_scale=1.5),
    ),
    "attention_cross_bias": Case(
        MultiHeadAttention,
        {"num_heads": 2},
        {"query": HIDDEN, "context": CONTEXT, "position_bias": CROSS_BIAS},
        partial(attend, num_heads=2),
    ),
    "attention_everything": Case(
        MultiHeadAttention,
        {**EVERYTHING, "query_key_norm": True, "gated": True},
        {"query": HIDDEN, "mask": PAIRS_MASK, "document_ids": DOCUMENT_IDS},
        partial(attend, **EVERYTHING),
    ),
}
