"""The comparison with the oracle can fail: attention with any of these mistakes is caught."""

from functools import partial

import pytest

from tests.kzoo.layers.cases import attention
from tests.kzoo.layers.mistakes import assert_caught
from tests.reference.attention import multi_head_attention


def everything(**changed):
    return "attention_everything", partial(
        multi_head_attention, **{**attention.EVERYTHING, **changed}
    )


def exchanged(first, second):
    """Attend with two weights in each other's place."""

    def broken(weights, **inputs):
        swapped = {**weights, first: weights[second], second: weights[first]}
        return multi_head_attention(swapped, **inputs, **attention.EVERYTHING)

    return "attention_everything", broken


def rescaled(name, factor):
    """Attend with a weight of another size."""

    def broken(weights, **inputs):
        larger = {**weights, name: factor * weights[name]}
        return multi_head_attention(larger, **inputs, **attention.EVERYTHING)

    return "attention_everything", broken


def without(name):
    """Attend without an input."""

    def broken(weights, **inputs):
        return multi_head_attention(weights, **{**inputs, name: None}, **attention.EVERYTHING)

    return "attention_everything", broken


MISTAKES = {
    "a wider window": everything(window=4),
    "a narrower window": everything(window=2),
    "the future seen": everything(causal=False),
    "another cap": everything(soft_cap=2.1),
    "the mask ignored": without("mask"),
    "the documents ignored": without("document_ids"),
    "keys and values exchanged": exchanged("key/kernel", "value/kernel"),
    "a norm of another scale": rescaled("query_norm/gamma", 1.5),
    "queries and their gate exchanged": exchanged("query/kernel", "gate/kernel"),
    "heads of another width": (
        "attention_padding",
        partial(multi_head_attention, num_heads=2),
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_caught(mistake):
    name, broken = MISTAKES[mistake]
    assert_caught(attention.CASES[name], broken)
