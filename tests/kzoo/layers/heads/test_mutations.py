"""The comparison with the oracles can fail: a head with any of these mistakes is caught."""

from functools import partial

import numpy as np
import pytest

from tests.kzoo.layers.cases import heads
from tests.kzoo.layers.mistakes import assert_caught
from tests.reference import heads as reference

MISTAKES = {
    "last_position": (
        "pooler",
        lambda weights, hidden: reference.pooler(weights, hidden[:, ::-1]),
    ),
    "padding_averaged": (
        "mean_pooling",
        lambda weights, hidden, padding_mask: hidden.mean(1),
    ),
    "swapped_sentences": (
        "next_sentence_head",
        lambda *inputs, **named: reference.next_sentence_head(*inputs, **named)[:, ::-1],
    ),
    "approximate_gelu": (
        "masked_lm_head",
        partial(reference.masked_lm_head, activation="gelu_tanh"),
    ),
    "next_position": (
        "masked_lm_head",
        lambda weights, mask_positions, **inputs: reference.masked_lm_head(
            weights, mask_positions=(mask_positions + 1) % 5, **inputs
        ),
    ),
    "no_output_bias": (
        "masked_lm_head_free",
        lambda weights, **inputs: reference.masked_lm_head(
            {**weights, "bias": 0.0 * weights["bias"]}, activation="relu", **inputs
        ),
    ),
    "swapped_orders": (
        "sentence_order_head",
        lambda *inputs, **named: reference.sentence_order_head(*inputs, **named)[:, ::-1],
    ),
    "another_activation": (
        "replaced_token_head",
        partial(reference.replaced_token_head, activation="relu"),
    ),
    "neighboring_tokens": (
        "token_classification_head",
        lambda weights, hidden: reference.token_classification_head(weights, np.roll(hidden, 1, 1)),
    ),
    "neighboring_rows": (
        "sequence_classification_head",
        lambda weights, pooled: reference.sequence_classification_head(weights, pooled[::-1]),
    ),
    "end_before_start": (
        "span_head",
        lambda *inputs, **named: reference.span_head(*inputs, **named)[..., ::-1],
    ),
    "padding_kept": (
        "span_head",
        lambda weights, hidden, padding_mask: reference.span_head(weights, hidden),
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_caught(mistake):
    name, broken = MISTAKES[mistake]
    assert_caught(heads.CASES[name], broken)
