"""Samples: every form they come in, and the split that keeps verification honest."""

from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export.samples import Reader
from kzoo_export.source.prepare import prepare
from kzoo_export.spec import TensorSpec
from kzoo_export.split import choose_samples, split
from tests.kzoo.models.tiny import tiny_backbone

pytestmark = pytest.mark.once

INPUTS = (
    TensorSpec("token_ids", (1, 6), "int32"),
    TensorSpec("padding_mask", (1, 6), "int32"),
    TensorSpec("image", (1, 2, 2), "float32"),
)


class Letters:
    """Spells a text; knows one key too many."""

    def __call__(self, texts: list[str], length: int) -> dict[str, np.ndarray]:
        ids = np.zeros((len(texts), length), "int32")
        for row, text in zip(ids, texts, strict=True):
            spelt = [ord(letter) % 50 for letter in text[:length]]
            row[: len(spelt)] = spelt
        return {"token_ids": ids, "padding_mask": (ids > 0).astype("int32"), "segment_ids": ids * 0}


def reader(**options: Any) -> Reader:
    return Reader(INPUTS, {"token_ids": 50}, kinds={"padding_mask": "mask"}, **options)


def arrays(count: int, dtype: str = "int64") -> dict[str, np.ndarray]:
    ids = np.arange(count * 6).reshape(count, 6) % 50
    image = np.arange(count * 4).reshape(count, 2, 2)
    return {"image": image, "token_ids": ids.astype(dtype), "padding_mask": ids > 3}


def test_arrays_get_the_order_and_dtypes_of_the_file() -> None:
    samples = reader().read(arrays(3), "samples")
    assert list(samples.arrays) == [entry.name for entry in INPUTS]
    assert [a.dtype.name for a in samples.arrays.values()] == ["int32", "int32", "float32"]
    assert samples.source == "3 given samples"


def test_batches_are_joined() -> None:
    whole = reader().read(arrays(5), "samples")
    parts = ({name: array[i : i + 2] for name, array in arrays(5).items()} for i in (0, 2, 4))
    joined = reader().read(parts, "samples")
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(joined.arrays[name], array)


@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize("form", ["tuple", "list", "generator"])
def test_labels_and_weights_never_enter_the_model(form: str, extra: int) -> None:
    parts = [(arrays(count), *[np.full(count, 1e6)] * extra) for count in (2, 3)]
    given = {"tuple": parts[0], "list": parts, "generator": iter(parts)}[form]
    samples = reader().read(given, "samples")
    count = 2 if form == "tuple" else 5
    assert samples.source == f"{count} given samples, labels not used"
    assert max(array.max() for array in samples.arrays.values()) < 100


def test_labels_of_texts_and_of_bare_arrays() -> None:
    read = Reader(INPUTS[:2], {"token_ids": 50}, Letters()).read
    for given in ((["abc", "ab"], [0, 1]), [(["abc"], [0]), (["ab"], [1])]):
        assert read(given, "samples").source == "2 given texts, labels not used"
    image = Reader(INPUTS[2:], {}).read((np.zeros((3, 2, 2)), np.ones(3)), "samples")
    assert not image.arrays["image"].any()
    alone = Reader(INPUTS[2:], {}).read((np.zeros((3, 2, 2)),), "samples")
    assert alone.source == "3 given samples"


def test_wrong_batches_are_refused() -> None:
    image, labels = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    read = Reader(INPUTS[2:], {}).read
    for given in (
        (image, labels, labels, labels),
        [[image, labels]],  # as some loaders give it: its labels would be samples
        ((image, labels), (image, labels)),  # a tuple is no sequence of batches
        3,
        [3],
    ):
        with pytest.raises(ValueError, match=r"`samples` must be a dictionary of arrays, one"):
            read(given, "samples")
    with pytest.raises(ValueError, match="at least one sample"):
        read([], "samples")


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("int32", 2**31),
        ("int32", -(2**31) - 1),
        ("uint8", 256),
        ("uint8", -1),
        ("float32", 1e39),
    ],
)
def test_numbers_that_the_type_of_an_input_cannot_hold(dtype: str, number: float) -> None:
    one = Reader((TensorSpec("x", (1, 2), dtype),), {})
    array = np.zeros((3, 2), type(number))
    one.read(array, "samples")
    array[1, 1] = number
    with pytest.raises(ValueError, match=rf"samples\['x'\].*{dtype}.*Received"):
        one.read(array, "samples")


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_declared_ids_are_whole_numbers_of_a_table(dtype: str) -> None:
    """A layer of the user's own looks them up: nothing but the declaration says what they are."""
    inputs = (TensorSpec("words", (1, 2), dtype),)
    unknown = Reader(inputs, {}, kinds={"words": "token_ids"})
    with pytest.raises(ValueError, match=r"`samples` must be given: 'words' holds ids"):
        unknown.default()
    with pytest.raises(ValueError, match=r"ids from 0 to .*Received: -1"):
        unknown.read(np.full((3, 2), -1), "samples")
    known = Reader(inputs, {"words": 9}, kinds={"words": "token_ids"})
    assert set(known.default().arrays["words"].ravel()) <= set(range(9))
    with pytest.raises(ValueError, match=r"ids from 0 to 8.*Received: 9"):
        known.read(np.full((3, 2), 9), "samples")
    if dtype == "float32":
        with pytest.raises(ValueError, match="whole numbers"):
            known.read(np.full((3, 2), 0.5), "samples")


def test_masks_are_known_by_their_kind_and_not_by_their_name() -> None:
    inputs = (TensorSpec("real", (1, 64), "int32"), TensorSpec("some_mask", (1, 64), "int32"))
    made = Reader(inputs, {}, kinds={"real": "mask"}).default().arrays
    assert (np.diff(made["real"], axis=1) <= 0).all()
    assert (np.diff(made["some_mask"], axis=1) > 0).any()


def test_one_input_takes_a_bare_array() -> None:
    samples = Reader(INPUTS[2:], {}).read(np.zeros((3, 2, 2)), "samples")
    assert list(samples.arrays) == ["image"]
    with pytest.raises(ValueError, match="dictionary of arrays"):
        reader().read(np.zeros((3, 2, 2)), "samples")


def test_texts_go_through_the_tokenizer() -> None:
    samples = Reader(INPUTS[:2], {"token_ids": 50}, Letters()).read(["abc", "ab"], "samples")
    assert samples.source == "2 given texts"
    assert samples.arrays["token_ids"].shape == (2, 6)
    assert samples.arrays["padding_mask"].sum() == 5


def test_model_made_by_hand_reads_texts_with_its_backbones_tokenizer() -> None:
    backbone = tiny_backbone(with_tokenizer=True)
    model = keras.Model(backbone.input, keras.layers.Dense(2)(backbone.output["pooled"]))
    sizes: Any = (np.int64(12), np.int64(1))
    source = prepare(model)
    samples = source.reader(source.signature(*sizes))
    assert samples.read(["abc", "ab"], "samples").source == "2 given texts"


def test_text_models_default_to_packaged_sentences() -> None:
    samples = Reader(INPUTS[:2], {"token_ids": 50}, Letters()).default()
    assert len(samples) == 64
    assert samples.source == "64 packaged sentences"


def test_random_samples_are_plausible_and_repeatable() -> None:
    samples, again = reader(seed=3).default(), reader(seed=3).default()
    assert "random" in samples.source
    assert "seed 3" in samples.source
    for name, array in samples.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    ids, mask, image = samples.arrays.values()
    assert 0 <= ids.min() < 10 < 40 < ids.max() < 50
    # Real tokens first, and at least one.
    assert (np.diff(mask, axis=1) <= 0).all()
    assert mask[:, 0].all()
    assert 0.5 < image.std() < 1.5
    other = reader(seed=4).default().arrays["image"]
    assert np.abs(other - image).max() > 0.1


def test_split_shares_no_row_and_repeats() -> None:
    samples = reader().read(arrays(8), "samples")
    verifying, calibrating = split(samples, seed=1)
    seen = [part.arrays["image"][:, 0, 0].tolist() for part in (verifying, calibrating)]
    assert sorted(seen[0] + seen[1]) == samples.arrays["image"][:, 0, 0].tolist()
    assert len(seen[0]) == len(seen[1]) == 4
    assert "split with seed 1" in verifying.source
    again, _ = split(samples, seed=1)
    np.testing.assert_array_equal(again.arrays["image"], verifying.arrays["image"])
    with pytest.raises(ValueError, match="at least two rows"):
        split(reader().read(arrays(1), "samples"), seed=1)


def test_what_verifies_and_what_calibrates() -> None:
    few, many = arrays(2), arrays(6)
    verifying, calibrating = choose_samples(reader(), few, many, calibrates=False)
    assert (len(verifying), calibrating) == (2, None)
    verifying, calibrating = choose_samples(reader(), few, many, calibrates=True)
    assert calibrating is not None
    assert (len(verifying), len(calibrating)) == (2, 6)
    for given, others in ((many, None), (None, many)):
        verifying, calibrating = choose_samples(reader(), given, others, calibrates=True)
        assert calibrating is not None
        assert (len(verifying), len(calibrating)) == (3, 3)
    verifying, calibrating = choose_samples(reader(), None, None, calibrates=True)
    assert calibrating is not None
    assert (len(verifying), len(calibrating)) == (64, 64)
