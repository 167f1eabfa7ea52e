"""Documents to records: where each token of a record comes from."""

import collections

import numpy as np
import pytest

from kzoo.data.records import Layout, Record, make_records
from kzoo.data.tokenizer import Tokenizer

pytestmark = pytest.mark.once

LENGTH = 64
DOCUMENTS, SENTENCES = 2500, 40


@pytest.fixture(scope="module")
def tokenizer(minilm_folder):
    return Tokenizer.from_folder(minilm_folder)


@pytest.fixture(scope="module")
def words(tokenizer):
    """Whole words of the vocabulary, each one token that begins a sentence."""
    found = [t for t in tokenizer.tokens if t.isascii() and t.isalpha() and len(t) > 5]
    assert len(found) > DOCUMENTS + SENTENCES
    return found


@pytest.fixture(scope="module")
def documents(words):
    """Each sentence is a number, some words that tell the document, and a full stop."""
    random = np.random.default_rng(0)
    numbers, names = words[:SENTENCES], words[SENTENCES : SENTENCES + DOCUMENTS]
    result = []
    for name in names:
        sizes = random.integers(1, 18, random.integers(1, SENTENCES + 1))
        sentences = [
            f"{number.capitalize()} {' '.join([name] * size)}."
            for number, size in zip(numbers, sizes, strict=False)
        ]
        result.append(" ".join(sentences))
    return result


@pytest.fixture(scope="module")
def records(documents, tokenizer):
    """More than half a million tokens of pairs."""
    found = make_records(documents, tokenizer, "next_sentence", LENGTH, np.random.default_rng(1))
    assert sum(len(record.token_ids) for record in found) > 500_000
    return found


@pytest.fixture(scope="module")
def describe(tokenizer, words):
    """Return what tells the documents and the sentences of some tokens."""
    numbers = {tokenizer.backend.token_to_id(word): n for n, word in enumerate(words[:SENTENCES])}
    names = {tokenizer.backend.token_to_id(word) for word in words[SENTENCES:]}

    def look(ids):
        return {i for i in ids if i in names}, [numbers[i] for i in ids if i in numbers]

    return look


def texts_of(record):
    """Cut a record of BERT into its texts."""
    ids = record.token_ids
    assert (ids[0], ids[record.second_start - 1], ids[-1]) == (101, 102, 102)
    first, second = ids[1 : record.second_start - 1], ids[record.second_start : -1]
    assert first
    assert second
    assert 102 not in first + second
    return first, second


def test_partners_are_never_of_the_same_document(records, describe):
    for record in records:
        (first, _), (second, _) = map(describe, texts_of(record))
        assert len(first | second) == (1 if record.is_next else 2)


def test_second_text_follows_the_first(records, describe):
    followed = 0
    for record in records:
        if record.is_next:
            (_, first), (_, second) = map(describe, texts_of(record))
            assert [*first, *second] == list(range(first[0], first[0] + len(first) + len(second)))
            followed += 1
    assert followed > 1000


def test_half_of_the_partners_are_random(records):
    share = np.mean([not record.is_next for record in records])
    assert abs(share - 0.5) < 3 * (0.25 / len(records)) ** 0.5


def test_tenth_of_the_records_is_short(records):
    lengths = np.array([len(record.token_ids) for record in records])
    assert lengths.max() == LENGTH
    # Half of a random target is below the middle; ends of documents add to these.
    assert 0.04 < np.mean(lengths < LENGTH / 2) < 0.12
    assert lengths.mean() > 0.8 * LENGTH


def test_every_token_is_read(records, documents, describe, tokenizer):
    """The first texts, and the second ones that follow them, are the documents."""
    read = collections.Counter()
    for record in records:
        first, second = texts_of(record)
        read.update([*first, *(second if record.is_next else [])])
    expected = collections.Counter()
    for row in tokenizer.backend.encode_batch(documents, add_special_tokens=False):
        expected.update(row.ids)
    assert read == expected


def test_texts_are_whole_sentences(records, tokenizer):
    stop = tokenizer.backend.token_to_id(".")
    for record in records:
        assert [text[-1] for text in texts_of(record)] == [stop, stop]


def test_packing_keeps_every_token(documents, tokenizer):
    some = documents[:50]
    records = make_records(some, tokenizer, "none", LENGTH, np.random.default_rng(0))
    assert all(record.second_start == len(record.token_ids) <= LENGTH for record in records)
    assert {(record.token_ids[0], record.token_ids[-1]) for record in records} == {(101, 102)}
    kept = [i for record in records for i in record.token_ids if i not in (101, 102)]
    assert kept == [i for row in some for i in tokenizer.backend.encode(row).ids[1:-1]]
    fill = np.mean([len(record.token_ids) for record in records[:-1]])
    assert fill > LENGTH - 12  # half of the longest sentence is not filled on average


def test_long_sentences_are_cut_not_lost(tokenizer):
    long = " ".join(["word"] * 500)
    records = make_records([long], tokenizer, "none", 32, np.random.default_rng(0))
    assert sum(len(record.token_ids) - 2 for record in records) == 500
    pairs = make_records([long, long], tokenizer, "next_sentence", 32, np.random.default_rng(0))
    assert max(len(record.token_ids) for record in pairs) <= 32


def test_layouts(tokenizer, vocabulary):
    assert Layout.of(tokenizer) == Layout((101,), (102,), (102,))
    roberta = Tokenizer.from_folder(vocabulary)
    assert Layout.of(roberta) == Layout((0,), (2, 2), (2,))
    texts = ["One sentence here. Another one.", "A second document. It has two."]
    for record in make_records(texts, roberta, "next_sentence", 40, np.random.default_rng(0)):
        assert record.token_ids[record.second_start - 2 : record.second_start] == [2, 2]


def test_bytes_round_trip():
    for record in (Record([101, 70_000, 102], 2, True), Record([1, 2], 2, False)):
        assert Record.from_bytes(record.to_bytes()) == record


def test_wrong_arguments(tokenizer):
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="`pairs` must be one of 'next_sentence', 'none'"):
        make_records(["a", "b"], tokenizer, "order", 64, random)
    with pytest.raises(ValueError, match=r"`length` must have room for 3 .*Received: length=4"):
        make_records(["a", "b"], tokenizer, "none", 4, random)
    with pytest.raises(ValueError, match="`pairs` must be 'none' unless there are two documents"):
        make_records(["a", " "], tokenizer, "next_sentence", 64, random)
