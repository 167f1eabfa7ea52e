"""Cases of attention."""

from functools import partial

from kzoo.layers import MultiHeadAttention
from tests.kzoo.layers.cases.case import (
    CAUSAL_MASK,
    CONTEXT,
    CONTEXT_MASK,
    HIDDEN,
    PADDING_MASK,
    Case,
)
from tests.reference import attention as reference

attend = reference.multi_head_attention
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
}
