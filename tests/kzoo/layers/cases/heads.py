"""Cases of heads."""

from functools import partial

from kzoo.layers import (
    FirstPooling,
    MaskedLMHead,
    MaxPooling,
    MeanPooling,
    NextSentenceHead,
    Pooler,
    ReplacedTokenHead,
    SentenceOrderHead,
    SequenceClassificationHead,
    SpanHead,
    TokenClassificationHead,
)
from tests.kzoo.layers.cases.case import HIDDEN, MASK_POSITIONS, PADDING_MASK, TABLE, Case, V
from tests.reference import heads as reference

CASES = {
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
    "max_pooling": Case(
        MaxPooling, {}, {"hidden": HIDDEN, "padding_mask": PADDING_MASK}, reference.max_pooling
    ),
    "first_pooling": Case(FirstPooling, {}, {"hidden": HIDDEN}, reference.first_pooling),
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
    "masked_lm_head_free": Case(
        MaskedLMHead,
        {"vocab_size": V, "hidden_dim": 6, "activation": "relu"},
        {"hidden": HIDDEN},
        partial(reference.masked_lm_head, activation="relu"),
    ),
    "sentence_order_head": Case(
        SentenceOrderHead, {}, {"pooled": HIDDEN[:, 0]}, reference.sentence_order_head
    ),
    "replaced_token_head": Case(
        ReplacedTokenHead, {}, {"hidden": HIDDEN}, reference.replaced_token_head
    ),
    "sequence_classification_head": Case(
        SequenceClassificationHead,
        {"num_classes": 4},
        {"pooled": HIDDEN[:, 0]},
        reference.sequence_classification_head,
    ),
    "token_classification_head": Case(
        TokenClassificationHead,
        {"num_classes": 4},
        {"hidden": HIDDEN},
        reference.token_classification_head,
    ),
    "span_head": Case(
        SpanHead, {}, {"hidden": HIDDEN, "padding_mask": PADDING_MASK}, reference.span_head
    ),
}
