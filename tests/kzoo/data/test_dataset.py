"""Prepared records as batches: what is in them, in which order, and how `fit` takes them."""

import shutil

import keras
import numpy as np
import pytest

import kzoo
from kzoo.data import pretraining_dataset
from kzoo.data.prepare import prepare
from kzoo.data.records import Record
from kzoo.data.tokenizer import Tokenizer

B, T, P = 8, 48, 7


@pytest.fixture(scope="module")
def tokenizer(minilm_folder):
    return Tokenizer.from_folder(minilm_folder)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """Three shards of pairs."""
    return make(tokenizer, tmp_path_factory.mktemp("dataset"), "next_sentence")


def make(tokenizer, folder, pairs):
    texts = kzoo.data.sample_texts()
    text = "\n\n".join(" ".join(texts[start : start + 8]) for start in range(0, 240, 8))
    (folder / "a.txt").write_text(text, "utf-8")
    arguments = {"workers": 1, "length": T, "pairs": pairs}
    arguments |= {"documents_per_shard": 10, "held_out": 0}
    manifest = prepare([folder / "a.txt"], folder / "data", tokenizer, **arguments)
    assert len(manifest.shards) == 3
    return folder / "data"


def records_of(folder):
    from array_record.python.array_record_module import ArrayRecordReader

    rows = []
    for path in sorted(folder.glob("*.array_record")):
        reader = ArrayRecordReader(str(path))
        rows += [Record.from_bytes(row) for row in reader.read_all()]
        reader.close()
    return rows


def unmasked(batch):
    """Put the hidden tokens back."""
    x, y, weights = batch
    token_ids = x["token_ids"].copy()
    rows, places = np.nonzero(weights["masked"])
    token_ids[rows, x["mask_positions"][rows, places]] = y["masked"][rows, places]
    return token_ids


def equal(first, second):
    arrays = zip(keras.tree.flatten(first), keras.tree.flatten(second), strict=True)
    return all(np.array_equal(one, other) for one, other in arrays)


@pytest.mark.once
def test_batches_are_the_records(folder):
    batches = list(pretraining_dataset(folder, B, predictions=P, epochs=1))
    records = records_of(folder)
    assert len(batches) == len(records) // B
    by_tokens = {tuple(record.token_ids): record for record in records}
    seen = []
    for x, y, weights in batches:
        token_ids = unmasked((x, y, weights))
        assert token_ids.shape == (B, T)
        assert x["mask_positions"].shape == y["masked"].shape == (B, P)
        for row in range(B):
            size = x["padding_mask"][row].sum()
            record = by_tokens[tuple(token_ids[row, :size].tolist())]
            assert not token_ids[row, size:].any()
            assert x["segment_ids"][row].tolist() == [
                int(record.second_start <= place < size) for place in range(T)
            ]
            assert y["pair"][row] == (not record.is_next)
            seen.append(tuple(record.token_ids))
        assert weights["pair"].tolist() == [1.0] * B
    assert len(set(seen)) == len(seen)
    first = [tuple(record.token_ids) for record in records[: len(seen)]]
    assert seen != first  # the order is random


@pytest.mark.once
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_from_the_seed(folder, workers):
    expected = list(pretraining_dataset(folder, B, seed=3, epochs=2))
    iterator = iter(pretraining_dataset(folder, B, seed=3, epochs=2, workers=workers))
    batches = list(iterator)
    if workers:
        iterator.close()
    assert equal(batches, expected)
    other = next(iter(pretraining_dataset(folder, B, seed=4)))
    assert not equal(other, expected[0])


@pytest.mark.once
def test_each_epoch_is_masked_anew(folder):
    batches = list(pretraining_dataset(folder, B, epochs=2))
    half = len(batches) // 2
    rows = [{}, {}]
    for number, batch in enumerate(batches):
        for true, shown in zip(unmasked(batch), batch[0]["token_ids"], strict=True):
            rows[number >= half][true.tobytes()] = shown.tobytes()
    both = rows[0].keys() & rows[1].keys()
    assert len(both) > 0.8 * len(rows[0])
    assert np.mean([rows[0][row] == rows[1][row] for row in both]) < 0.05


@pytest.mark.once
def test_records_without_pairs(tokenizer, tmp_path):
    folder = make(tokenizer, tmp_path, "none")
    x, y, weights = next(iter(pretraining_dataset(folder, B, masking="span")))
    assert list(y) == list(weights) == ["masked"]
    assert not x["segment_ids"].any()


def test_fit_takes_it(folder, tokenizer):
    inputs = {
        "token_ids": keras.Input((T,), dtype="int32", name="token_ids"),
        "segment_ids": keras.Input((T,), dtype="int32", name="segment_ids"),
        "padding_mask": keras.Input((T,), dtype="int32", name="padding_mask"),
        "mask_positions": keras.Input((P,), dtype="int32", name="mask_positions"),
    }
    hidden = keras.layers.Embedding(tokenizer.vocab_size, 8)(inputs["token_ids"])
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    guess = keras.layers.Dense(tokenizer.vocab_size)(pooled)
    outputs = {
        "masked": keras.layers.RepeatVector(P)(guess),
        "pair": keras.layers.Dense(2)(pooled),
    }
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=dict.fromkeys(outputs, loss))
    dataset = pretraining_dataset(folder, B, predictions=P)
    history = model.fit(dataset, steps_per_epoch=4, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"batch_size": 10_000}, r"`batch_size` must be at most the number of records, \d+"),
        ({"masking": "letter"}, "`masking` must be one of"),
        ({"rate": 0}, "`rate` must be above 0 and below 1"),
        ({"predictions": 0}, "`predictions` must be a positive integer"),
        ({"epochs": 0}, "`epochs` must be a positive integer"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"workers": 1.5}, "`workers` must be an integer of at least 0"),
    ],
)
def test_wrong_arguments(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        pretraining_dataset(folder, **{"batch_size": B, **arguments})


@pytest.mark.once
def test_damaged_folders(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "data")
    shard = copy / "train-00001.array_record"
    content = shard.read_bytes()
    middle = len(content) // 2
    for damaged in (content[:-9], content[:middle] + b"\0" + content[middle + 1 :], None):
        shard.unlink() if damaged is None else shard.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a missing or damaged .*train-00001\.array_record"):
            pretraining_dataset(copy, B)
    shard.write_bytes(content)
    pretraining_dataset(copy, B)
    (copy / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"The folder must have manifest\.json"):
        pretraining_dataset(copy, B)
