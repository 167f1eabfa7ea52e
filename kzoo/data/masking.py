"""Masked language modeling: which tokens a model must guess, and what it reads in their place."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kzoo.arguments import check_choice, check_positive_integers
from kzoo.data.tokenizer import Tokenizer

Array = np.ndarray[Any, Any]

LONGEST_SPAN = 10
SPAN_STOP = 0.2
"""A span of words goes on after each word with probability 1 - 0.2, up to ten words."""
_MASKED, _RANDOM = 0.8, 0.1
# What tokens begin with: those of WordPiece that go on with a word, those of byte pairs and of
# SentencePiece that begin one.
_CONTINUES = "##"
_MARKS = (_CONTINUES, "\u0120", "\u2581")


@dataclasses.dataclass(frozen=True)
class MaskingVocabulary:
    """What masking asks of a tokenizer.

    Attributes:
        mask_id: The token that hides another one.
        ordinary: The ids of all tokens that texts are made of, (number of them,): never special.
        is_ordinary: By id, whether a token is one of these.
        continues: By id, whether a token goes on with the word of the token before it.
    """

    mask_id: int
    ordinary: Array
    is_ordinary: Array
    continues: Array

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "MaskingVocabulary":
        """Look at the vocabulary of a tokenizer.

        Args:
            tokenizer: The tokenizer.

        Returns:
            What masking asks of it.

        Raises:
            ValueError: If it has no mask token.
        """
        if tokenizer.mask_id is None:
            raise ValueError(
                "The tokenizer must have a mask token. "
                f"Received: mask_token={tokenizer.config.get('mask_token')!r}"
            )
        tokens = tokenizer.tokens
        is_ordinary = np.ones(len(tokens), bool)
        is_ordinary[list(tokenizer.special_ids)] = False
        marks = {mark: [token.startswith(mark) for token in tokens] for mark in _MARKS}
        mark = max(marks, key=lambda mark: sum(marks[mark]))
        continues = np.array(marks[mark]) == (mark == _CONTINUES)
        return cls(tokenizer.mask_id, np.nonzero(is_ordinary)[0], is_ordinary, continues)


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of a batch, and what is to be masked of them.

    Attributes:
        of_token: The index of each token's word in its row, -1 for special tokens, (B, T).
        sizes: Number of tokens of each word, (B, T): 0 beyond the last word.
        budget: How many tokens are to be masked, (B,).
    """

    of_token: Array
    sizes: Array
    budget: Array


def mask_tokens(
    token_ids: Array,
    vocabulary: MaskingVocabulary,
    random: np.random.Generator,
    masking: str = "token",
    rate: float = 0.15,
    predictions: int = 20,
) -> dict[str, Array]:
    """Hide some tokens of each row, in the way of BERT.

    Of the tokens chosen, 80 % are replaced by the mask token, 10 % by a random one that is not
    special, and 10 % are left as they are. The choice is made of single tokens (`token`), of whole
    words (`word`), or of spans of one to ten words whose lengths are geometric (`span`): then all
    tokens of a span are replaced in the same way, the other two decide for each token.

    Special tokens and padding are never chosen. A row of n other tokens has round(rate n) of them
    chosen, at least one and at most `predictions`; of whole words as many as fit.

    Args:
        token_ids: Integers (B, T).
        vocabulary: What is known of the tokens.
        random: Where chance comes from: the same state gives the same batch.
        masking: `token`, `word` or `span`.
        rate: Share of the tokens that are chosen.
        predictions: The most that are chosen in a row, P.

    Returns:
        `token_ids` (B, T), what the model reads; `mask_positions` (B, P), where the chosen tokens
        are, in order; `labels` (B, P), which they were; `weights` (B, P), 1.0 for each of them
        and 0.0 for what fills up a row, whose position and label are 0. All int32 but the weights.

    Raises:
        ValueError: If an argument is out of its range.

    References:
        Devlin et al., BERT, 2018, section 3.1 (80/10/10) and the authors' code (whole words).
        https://arxiv.org/abs/1810.04805
        Joshi et al., SpanBERT, 2019, section 3.1 (spans). https://arxiv.org/abs/1907.10529
    """
    check_choice(MASKINGS, masking=masking)
    check_positive_integers(predictions=predictions)
    check_rate(rate)
    words = _find_words(token_ids, vocabulary, masking, rate, predictions)
    chosen, fate = MASKINGS[masking](words, random)  # (B, T) booleans, (B, T) in [0, 1)
    positions, weights = _positions(chosen, predictions)
    labels = np.take_along_axis(token_ids, positions, axis=1) * weights
    replaced = np.where(chosen & (fate < _MASKED), vocabulary.mask_id, token_ids)
    swapped = chosen & (fate >= _MASKED) & (fate < _MASKED + _RANDOM)
    replaced[swapped] = random.choice(vocabulary.ordinary, np.count_nonzero(swapped))
    return {
        "token_ids": replaced.astype("int32"),
        "mask_positions": positions.astype("int32"),
        "labels": labels.astype("int32"),
        "weights": weights.astype("float32"),
    }


def check_rate(rate: float) -> None:
    """Require a share of tokens.

    Args:
        rate: The share that is chosen.

    Raises:
        ValueError: If it is none or all of them.
    """
    if not 0 < rate < 1:
        raise ValueError(f"`rate` must be above 0 and below 1. Received: rate={rate}")


def _find_words(
    token_ids: Array, vocabulary: MaskingVocabulary, masking: str, rate: float, predictions: int
) -> Words:
    """Tell the words of each row, single tokens being words where nothing else is asked for."""
    ordinary = vocabulary.is_ordinary[token_ids]
    starts = ordinary
    if masking != "token":
        # A word whose first piece is special or cut off begins with its first piece here.
        before = np.pad(ordinary, ((0, 0), (1, 0)))[:, :-1]
        starts = ordinary & ~(vocabulary.continues[token_ids] & before)
    of_token = np.where(ordinary, np.cumsum(starts, axis=1) - 1, -1)
    rows, length = token_ids.shape
    places = (np.arange(rows)[:, None] * length + of_token)[ordinary]
    sizes = np.bincount(places, minlength=rows * length).reshape(rows, length)
    count = ordinary.sum(axis=1)
    budget = np.clip(np.rint(rate * count), 1, predictions).astype("int64")
    return Words(of_token, sizes, np.minimum(budget, count))


def _choose_words(words: Words, random: np.random.Generator) -> tuple[Array, Array]:
    """Choose words in a random order, leaving out each that does not fit any more."""
    exist = words.sizes > 0
    order = np.argsort(np.where(exist, random.random(exist.shape, "float32"), 2.0), axis=1)
    sizes = np.take_along_axis(words.sizes, order, axis=1)
    taken, room = np.zeros_like(exist), words.budget.copy()
    for rank in range(exist.sum(axis=1).max(initial=0)):
        size = sizes[:, rank]
        taken[:, rank] = (size > 0) & (size <= room)
        room -= size * taken[:, rank]
        if not room.any():
            break
    chosen = np.zeros_like(exist)
    np.put_along_axis(chosen, order, taken, axis=1)
    return _tokens_of(chosen, words), random.random(exist.shape, "float32")


def _choose_spans(words: Words, random: np.random.Generator) -> tuple[Array, Array]:
    """Choose spans of words, apart from each other, until the budget is spent."""
    rows, length = words.sizes.shape
    count = (words.sizes > 0).sum(axis=1)
    chosen = np.zeros((rows, length), bool)
    fate = np.zeros((rows, length), "float32")
    for row in range(rows):
        room = words.budget[row]
        for start, end in _spans(int(count[row]), int(room), random):
            kind = random.random(dtype="float32")
            for word in range(start, end):
                size = words.sizes[row, word]
                if size > room:
                    break
                room -= size
                chosen[row, word], fate[row, word] = True, kind
    return _tokens_of(chosen, words), np.take_along_axis(fate, words.of_token.clip(0), axis=1)


def _spans(count: int, budget: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Draw spans of words that do not overlap, as long as words are left and the budget is."""
    lengths: list[int] = []
    while sum(lengths) < min(budget, count):
        length = int(min(random.geometric(SPAN_STOP), LONGEST_SPAN))
        lengths.append(min(length, count - sum(lengths)))
    # The words that are not in spans, cut at random: each span goes between two of the parts.
    free = count - sum(lengths)
    gaps = np.sort(random.integers(0, free + 1, len(lengths)))
    starts = gaps + np.cumsum([0, *lengths[:-1]], dtype="int64") if lengths else gaps
    spans = [(int(s), int(s) + n) for s, n in zip(starts, lengths, strict=True)]
    return [spans[index] for index in random.permutation(len(spans))]


def _tokens_of(chosen: Array, words: Words) -> Array:
    """Spread what is chosen of words over their tokens."""
    return np.take_along_axis(chosen, words.of_token.clip(0), axis=1) & (words.of_token >= 0)


def _positions(chosen: Array, predictions: int) -> tuple[Array, Array]:
    """Return the places of what is chosen, in order, filled up with 0, and the weights, (B, P)."""
    width = min(predictions, chosen.shape[1])
    # A stable sort of what is not chosen leaves the places of what is first, in their order.
    places = np.argsort(~chosen, axis=1, kind="stable")[:, :width]
    weights = np.take_along_axis(chosen, places, axis=1)
    fill = ((0, 0), (0, predictions - width))
    return np.pad(places * weights, fill), np.pad(weights, fill)


MASKINGS: dict[str, Callable[[Words, np.random.Generator], tuple[Array, Array]]] = {
    "token": _choose_words,  # each token is a word then
    "word": _choose_words,
    "span": _choose_spans,
}
"""By name, what chooses: a function of words and chance that returns which tokens are chosen, and a
number in [0, 1) for each that decides what becomes of it."""
