"""Documents to the sequences that a model is pretrained on."""

import bisect
import dataclasses
import struct
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from kzoo.arguments import check_choice
from kzoo.data.tokenizer import Tokenizer

PAIRS = ("next_sentence", "none")
# BERT cuts a tenth of the sequences short, so that it learns from short ones too.
_SHORT = 0.1
_SHORTEST = 2

Tokens = list[int]
Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The special tokens before, between and behind texts, as the tokenizer puts them."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Layout":
        """Look at a pair of texts that a tokenizer encoded.

        Args:
            tokenizer: The tokenizer.

        Returns:
            Its layout.
        """
        row = tokenizer.backend.encode("a", "a")
        first, second = (
            [index for index, text in enumerate(row.sequence_ids) if text == number]
            for number in (0, 1)
        )
        parts = row.ids[: first[0]], row.ids[first[-1] + 1 : second[0]], row.ids[second[-1] + 1 :]
        return cls(*map(tuple, parts))

    def room(self, length: int) -> int:
        """Return how many tokens of a pair of texts fit.

        Args:
            length: The longest sequence, T.

        Returns:
            The number, at least two.

        Raises:
            ValueError: If there is no room for two.
        """
        special = len(self.before) + len(self.between) + len(self.behind)
        if length < special + 2:
            raise ValueError(
                f"`length` must have room for {special} special tokens and two more. "
                f"Received: length={length}"
            )
        return length - special


@dataclasses.dataclass(frozen=True)
class Record:
    """One sequence.

    Attributes:
        token_ids: All tokens, the special ones included.
        second_start: Where the second text begins; the length of the sequence if there is none.
        is_next: Whether the second text follows the first in their document; True without pairs.
    """

    HEADER: ClassVar[int] = 2
    """How many numbers are before the tokens where a record is stored."""

    token_ids: Tokens
    second_start: int
    is_next: bool

    def to_bytes(self) -> bytes:
        """Write the record as unsigned 32-bit numbers: `second_start`, `is_next`, the tokens."""
        numbers = [self.second_start, int(self.is_next), *self.token_ids]
        return struct.pack(f"<{len(numbers)}I", *numbers)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Record":
        """Read what `to_bytes` wrote.

        Args:
            content: The bytes.

        Returns:
            The record.
        """
        second_start, is_next, *token_ids = np.frombuffer(content, "<u4").tolist()
        return cls(token_ids, second_start, bool(is_next))


def make_records(
    documents: Sequence[str],
    tokenizer: Tokenizer,
    pairs: str,
    length: int,
    random: np.random.Generator,
    language: str = "en",
) -> list[Record]:
    """Cut documents into sequences.

    With `next_sentence` a sequence is a pair of texts, each of whole sentences. In half of the
    pairs, by chance, the second text follows the first; in the others it comes from another of the
    documents, as it must where one sentence is left of a document. A tenth of the sequences are
    shorter, by chance, than their length would allow. With `none` a sequence is as many whole
    sentences as fit, across the ends of documents, which a separator marks.

    Args:
        documents: Texts; of pairs at least two.
        tokenizer: What makes tokens of them.
        pairs: `next_sentence` or `none`.
        length: The longest sequence, T.
        random: Where chance comes from: the same state gives the same records.
        language: The language whose abbreviations end no sentence, as `sentencex` calls it.

    Returns:
        The records, in the order of the documents.

    Raises:
        ValueError: If an argument is out of its range.

    References:
        Devlin et al., BERT, 2018, section 3.1 and appendix A.2 (`next_sentence`).
        https://arxiv.org/abs/1810.04805
        Liu et al., RoBERTa, 2019, section 4.2, FULL-SENTENCES (`none`).
        https://arxiv.org/abs/1907.11692
    """
    check_choice(PAIRS, pairs=pairs)
    layout = Layout.of(tokenizer)
    room = layout.room(length)
    if pairs == "none":
        room = length - len(layout.before) - len(layout.behind)
        sentences = _encode(documents, tokenizer, room, language)
        return [_single(tokens, layout) for tokens in _packed(sentences, layout, room)]
    # Two sentences always fit: no pair is cut, which would give it away as a random one.
    sentences = _encode(documents, tokenizer, room // 2, language)
    if len(sentences) < 2:
        raise ValueError(
            "`pairs` must be 'none' unless there are two documents with text: half of the pairs "
            f"have a partner from another one. Received: pairs={pairs!r}"
        )
    return list(_pairs(sentences, layout, room, random))


@dataclasses.dataclass(frozen=True)
class Sentences:
    """The sentences of a document.

    Attributes:
        tokens: Their tokens, end to end.
        starts: Where each begins, and the end of the last.
    """

    tokens: Tokens
    starts: list[int]

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.starts) - 1

    def size(self, first: int, last: int) -> int:
        """Return the number of tokens of the sentences from one up to another."""
        return self.starts[last] - self.starts[first]

    def join(self, first: int, last: int) -> Tokens:
        """Return the tokens of the sentences from one up to another."""
        return self.tokens[self.starts[first] : self.starts[last]]

    def reach(self, first: int, room: int, least: int) -> int:
        """Return the end of the sentences that fit, or of as many as there must be."""
        end = bisect.bisect_right(self.starts, self.starts[first] + room) - 1
        return min(max(end, first + least), len(self))


def _encode(
    documents: Sequence[str], tokenizer: Tokenizer, room: int, language: str
) -> list[Sentences]:
    """Return the sentences of each document, of those that have any.

    A sentence longer than its room is cut into several: nothing of it is lost.
    """
    from sentencex import segment

    split = [
        [sentence.strip() for sentence in segment(language, document) if sentence.strip()]
        for document in documents
    ]
    flat = [sentence for sentences in split for sentence in sentences]
    encoded = iter(tokenizer.backend.encode_batch_fast(flat, add_special_tokens=False))
    result = []
    for sentences in split:
        tokens: Tokens = []
        starts = [0]
        for _ in sentences:
            tokens += next(encoded).ids
            starts += range(starts[-1] + room, len(tokens), room)
            if len(tokens) > starts[-1]:
                starts.append(len(tokens))
        if tokens:
            result.append(Sentences(tokens, starts))
    return result


def _packed(documents: list[Sentences], layout: Layout, room: int) -> Iterator[Tokens]:
    """Fill sequences with whole sentences."""
    row: Tokens = []
    for document in documents:
        for number in range(len(document)):
            separator = layout.behind if row and number == 0 else ()
            if len(row) + len(separator) + document.size(number, number + 1) > room:
                yield row
                row, separator = [], ()
            row = [*row, *separator, *document.join(number, number + 1)]
    if row:
        yield row


def _single(tokens: Tokens, layout: Layout) -> Record:
    row = [*layout.before, *tokens, *layout.behind]
    return Record(row, len(row), is_next=True)


def _pairs(
    documents: list[Sentences], layout: Layout, room: int, random: np.random.Generator
) -> Iterator[Record]:
    """Cut documents into pairs of whole sentences, with partners from each other."""
    # How many second texts were random because nothing followed. As many others are not left to
    # chance: then half of all are random.
    forced = 0
    for index, document in enumerate(documents):
        at = 0
        while at < len(document):
            target = room
            if random.random() < _SHORT:
                target = int(random.integers(_SHORTEST, room + 1))
            end = document.reach(at, target, least=2)
            alone = end - at == 1
            # The first text is some of these sentences, by chance, the second the others.
            cut = end if alone else int(random.integers(at + 1, end))
            is_next = not alone and (forced > 0 or random.random() < 0.5)
            forced = forced + 1 if alone else max(forced - 1, 0)
            if is_next:
                second = document.join(cut, end)
            else:
                partner, start = _partner(documents, index, random)
                while (
                    cut > at + 1 and document.size(at, cut) + partner.size(start, start + 1) > room
                ):
                    cut -= 1
                rest = target - document.size(at, cut)
                second = partner.join(start, partner.reach(start, rest, least=1))
            row = [*layout.before, *document.join(at, cut), *layout.between]
            yield Record([*row, *second, *layout.behind], len(row), is_next)
            # What no record has yet of these sentences begins the next one.
            at = end if is_next else cut


def _partner(
    documents: list[Sentences], index: int, random: np.random.Generator
) -> tuple[Sentences, int]:
    """Return another document, and a random one of its sentences."""
    other = int(random.integers(len(documents) - 1))
    document = documents[other + (other >= index)]
    return document, int(random.integers(len(document)))
