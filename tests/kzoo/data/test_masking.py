"""Masking: the statistics of a million tokens, and what is never touched."""

import itertools

import numpy as np
import pytest

import kzoo
from kzoo.data.masking import (
    LONGEST_SPAN,
    MASKINGS,
    SPAN_STOP,
    MaskingVocabulary,
    _spans,
    mask_tokens,
)
from kzoo.data.tokenizer import Tokenizer

pytestmark = pytest.mark.once

V, MASK, SPECIAL = 3000, 4, 5
ORDINARY = np.arange(V) >= SPECIAL
VOCABULARY = MaskingVocabulary(
    MASK, np.nonzero(ORDINARY)[0], ORDINARY, (np.arange(V) % 3 == 0) & ORDINARY
)
B, T, P = 2000, 500, 80


def rows(batch: int = B, length: int = T) -> np.ndarray:
    """[CLS] words [SEP] words [SEP], and padding behind them in half of the rows."""
    random = np.random.default_rng(0)
    token_ids = random.integers(SPECIAL, V, (batch, length))
    token_ids[:, 0] = 2
    token_ids[:, length // 3] = token_ids[:, -1] = 3
    token_ids[::2, length // 2] = 3
    token_ids[::2, length // 2 + 1 :] = 0
    return token_ids


@pytest.fixture(scope="module", params=MASKINGS)
def masked(request):
    """A million tokens, masked in each way."""
    token_ids = rows()
    batch = mask_tokens(
        token_ids, VOCABULARY, np.random.default_rng(1), request.param, predictions=P
    )
    chosen = np.zeros(token_ids.shape, bool)
    real = batch["weights"] == 1
    chosen[np.nonzero(real)[0], batch["mask_positions"][real]] = True
    assert chosen.sum() == real.sum()
    return request.param, token_ids, batch, chosen


def assert_share(hits: float, trials: float, expected: float, design: float = 1.0) -> None:
    """Require a share within 3 standard errors; `design` is how many trials decide together."""
    error = (expected * (1 - expected) * design / trials) ** 0.5
    assert abs(hits / trials - expected) < 3 * error, (hits / trials, expected, error)


def test_labels_are_the_hidden_tokens(masked):
    _, token_ids, batch, chosen = masked
    real = batch["weights"] == 1
    at = np.take_along_axis(token_ids, batch["mask_positions"].astype(int), axis=1)
    np.testing.assert_array_equal(batch["labels"][real], at[real])
    assert not batch["labels"][~real].any()
    assert not batch["mask_positions"][~real].any()
    for row, weights in zip(batch["mask_positions"], real, strict=True):
        assert (np.diff(row[weights]) > 0).all()
        assert (np.diff(weights.astype(int)) <= 0).all()
    np.testing.assert_array_equal(batch["token_ids"][~chosen], token_ids[~chosen])
    assert ORDINARY[token_ids[chosen]].all()
    assert {name: array.dtype.name for name, array in batch.items()} == {
        "token_ids": "int32",
        "mask_positions": "int32",
        "labels": "int32",
        "weights": "float32",
    }


def test_share_of_chosen_tokens(masked):
    name, token_ids, _, chosen = masked
    count = ORDINARY[token_ids].sum(axis=1)
    budget = np.minimum(np.rint(0.15 * count), P)
    picked = chosen.sum(axis=1)
    if name == "token":
        np.testing.assert_array_equal(picked, budget)
    assert (picked <= budget).all()
    # A word or span that does not fit leaves a token or two of the budget unspent.
    assert picked.sum() > 0.97 * budget.sum()


def test_eight_of_ten_are_hidden_one_is_random_and_one_is_kept(masked):
    name, token_ids, batch, chosen = masked
    shown, true = batch["token_ids"][chosen], token_ids[chosen]
    # The tokens of a span share their fate, and a span of 3.6 words on average is no single trial:
    # the mean square length over the mean is 5.5 words of 1.5 tokens.
    design = 9.0 if name == "span" else 1.0
    assert_share((shown == MASK).sum(), len(shown), 0.8, design)
    # One random token in V - SPECIAL is the true one by chance.
    same = 0.1 + 0.1 / ORDINARY.sum()
    assert_share((shown == true).sum(), len(shown), same, design)
    other = shown[(shown != MASK) & (shown != true)]
    assert ORDINARY[other].all()
    # Every token that texts are made of is as likely as any other: chi-square, 3 standard errors.
    counts = np.bincount(other, minlength=V)[ORDINARY]
    chi = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert abs(chi - len(counts)) < 3 * (2 * len(counts)) ** 0.5


def test_every_position_is_as_likely(masked):
    name, token_ids, _, chosen = masked
    real = ORDINARY[token_ids].sum(axis=0)
    often = real > 0.9 * B
    rate = chosen[:, often].sum(axis=0) / real[often]
    # Words cut off by a special token, and rounding, differ a little from place to place.
    spread = 3 * (0.15 * 0.85 / B) ** 0.5
    assert np.mean(np.abs(rate - rate.mean()) < spread) > (0.9 if name == "span" else 0.98)


def test_whole_words_are_never_split(masked):
    name, token_ids, _, chosen = masked
    goes_on = VOCABULARY.continues[token_ids][:, 1:] & ORDINARY[token_ids][:, :-1]
    split = goes_on & (chosen[:, 1:] != chosen[:, :-1])
    assert split.any() == (name == "token")


def test_spans_have_geometric_lengths_and_do_not_overlap():
    random = np.random.default_rng(3)
    lengths = []
    for _ in range(20_000):
        spans = _spans(400, 60, random)
        assert sum(end - start for start, end in spans) >= 60
        ordered = sorted(spans)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ordered))
        assert ordered[0][0] >= 0
        assert ordered[-1][1] <= 400
        lengths += [end - start for start, end in spans]
    counts = np.bincount(lengths, minlength=LONGEST_SPAN + 1)
    # Longer spans end a row more often than they begin one: what is drawn until 60 words are
    # reached has the right lengths but for that last span, one in 17.
    for length in range(1, LONGEST_SPAN):
        expected = SPAN_STOP * (1 - SPAN_STOP) ** (length - 1)
        assert abs(counts[length] / counts.sum() - expected) < 0.06 * expected + 3e-3


def test_first_span_is_geometric():
    random = np.random.default_rng(4)
    # A budget of one word is one span.
    lengths = [end - start for start, end in (_spans(400, 1, random)[0] for _ in range(50_000))]
    counts = np.bincount(lengths, minlength=LONGEST_SPAN + 1)
    for length in range(1, LONGEST_SPAN):
        assert_share(counts[length], len(lengths), SPAN_STOP * (1 - SPAN_STOP) ** (length - 1))
    assert_share(counts[LONGEST_SPAN], len(lengths), (1 - SPAN_STOP) ** (LONGEST_SPAN - 1))


@pytest.mark.parametrize("masking", MASKINGS)
def test_same_seed_gives_same_batch(masking):
    token_ids = rows(8, 60)
    one, two, other = (
        mask_tokens(token_ids, VOCABULARY, np.random.default_rng(seed), masking)
        for seed in (5, 5, 6)
    )
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])
    assert (one["token_ids"] != other["token_ids"]).any()


@pytest.mark.parametrize("masking", MASKINGS)
def test_short_rows(masking):
    # 6 goes on with a word, but not with one that ended: it is a word of its own here.
    token_ids = np.array([[2, 7, 3, 0], [2, 3, 0, 0], [2, 6, 3, 0], [2, 7, 3, 6]])
    batch = mask_tokens(token_ids, VOCABULARY, np.random.default_rng(0), masking, predictions=6)
    one, none = [1, 0, 0, 0, 0, 0], [0] * 6
    assert batch["weights"].tolist() == [one, none, one, one]
    assert batch["labels"][:3, 0].tolist() == [7, 0, 6]


def test_vocabularies(minilm_folder, vocabulary):
    bert = Tokenizer.from_folder(minilm_folder)
    known = MaskingVocabulary.of(bert)
    assert known.mask_id == 103
    assert bert.special_ids.isdisjoint(known.ordinary)
    assert len(known.ordinary) + len(bert.special_ids) == bert.vocab_size
    ids = bert(["unbelievably good"])["token_ids"][0]
    words = [bert.tokens[number] for number in ids]
    assert [token.startswith("##") for token in words] == known.continues[ids].tolist()
    roberta = Tokenizer.from_folder(vocabulary)
    known = MaskingVocabulary.of(roberta)
    ids = roberta([" ".join(kzoo.data.sample_texts())], length=64)["token_ids"][0][1:-1]
    begins = [roberta.tokens[number].startswith("\u0120") for number in ids]
    np.testing.assert_array_equal(known.continues[ids], ~np.array(begins))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"masking": "letter"}, "`masking` must be one of 'token', 'word', 'span'"),
        ({"rate": 1.5}, r"`rate` must be above 0 and below 1\. Received: rate=1.5"),
        ({"predictions": 0}, "`predictions` must be a positive integer"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mask_tokens(rows(2, 9), VOCABULARY, np.random.default_rng(0), **arguments)
