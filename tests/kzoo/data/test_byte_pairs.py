"""Byte-level BPE, as RoBERTa has it, and the settings of tokenizers in general."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kzoo
from kzoo.data import Tokenizer
from tests.huggingface import run
from tests.kzoo.data.test_tokenizer import ODD, lines

pytestmark = pytest.mark.once

SETTINGS: dict[str, dict[str, object]] = {
    "plain": {},
    "prefix_space": {"add_prefix_space": True},
    "left": {"padding_side": "left", "truncation_side": "left"},
    "right": {"padding_side": "right", "truncation_side": "right", "model_max_length": 40},
}


def folder_of(vocabulary: Path, folder: Path, settings: dict[str, object], fast: bool) -> Path:
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((vocabulary / name).read_bytes())
    config = {"tokenizer_class": "RobertaTokenizer", **settings}
    if fast:
        Tokenizer.from_folder(folder).save(folder)
        (folder / "vocab.json").unlink()
        (folder / "merges.txt").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "config.json").write_text('{"model_type": "roberta", "type_vocab_size": 1}', "utf-8")
    return folder


CASES: list[dict[str, Any]] = [
    {"texts": lines(), "length": 32},
    {"texts": ODD, "length": 5},
    {"texts": ODD, "pairs": ODD[::-1], "length": 24},
    {"texts": ["<mask> and <s>", "a <mask>, b<mask>"], "length": 16},
]
FOLDERS = [f"{name}_{kind}" for name in SETTINGS for kind in ("slow", "fast")]


@pytest.fixture(scope="module")
def folders(vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with each setting, and `reference` with what transformers makes of them."""
    root = tmp_path_factory.mktemp("folders")
    for name in FOLDERS:
        setting, _, kind = name.rpartition("_")
        folder_of(vocabulary, root / name, SETTINGS[setting], kind == "fast")
    models = {name: str(root / name) for name in FOLDERS}
    run("tokenize_all", root / "reference", models=models, cases=CASES)
    return root


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_are_those_of_hugging_face(folders, name):
    tokenizer = Tokenizer.from_folder(folders / name)
    assert tokenizer.inputs == ("token_ids", "padding_mask")
    with np.load(folders / "reference" / name / "batches.npz") as expected:
        for index, case in enumerate(CASES):
            batch = tokenizer(case["texts"], case.get("pairs"), length=case["length"])
            for key, array in batch.items():
                np.testing.assert_array_equal(array, expected[f"{key}_{index}"])


def test_save_writes_the_vocabulary(vocabulary, tmp_path):
    tokenizer = Tokenizer.from_folder(vocabulary)
    tokenizer.save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names == {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}
    (tmp_path / "saved" / "tokenizer.json").unlink()
    again = Tokenizer.from_folder(tmp_path / "saved")
    np.testing.assert_array_equal(again(ODD)["token_ids"], tokenizer(ODD)["token_ids"])


def test_special_ids(vocabulary):
    tokenizer = Tokenizer.from_folder(vocabulary)
    assert tokenizer.special_ids == {0, 1, 2, 3, 4}
    found = (tokenizer.cls_id, tokenizer.pad_id, tokenizer.sep_id, tokenizer.unk_id)
    assert (*found, tokenizer.mask_id) == (0, 1, 2, 3, 4)
    assert tokenizer(["a"])["token_ids"][0, [0, -1]].tolist() == [0, 2]


def test_arrays_are_those_of_the_model(vocabulary):
    tokenizer = Tokenizer.from_folder(vocabulary)
    three = tokenizer.for_inputs(["padding_mask", "segment_ids", "token_ids"])
    assert list(three(["a"], ["b"])) == ["token_ids", "segment_ids", "padding_mask"]
    assert three.for_inputs(three.inputs) is three
    assert list(three.for_inputs(["token_ids"])(["a"])) == ["token_ids"]
    assert tokenizer.inputs == ("token_ids", "padding_mask")


@pytest.mark.parametrize("kind", [tuple, np.array, lambda texts: np.array(texts, object)])
def test_sequences_of_texts(vocabulary, kind):
    tokenizer = Tokenizer.from_folder(vocabulary)
    batch = tokenizer(kind(["one", "two three"]), kind(["a", "b"]), length=8)
    expected = tokenizer(["one", "two three"], ["a", "b"], length=8)
    np.testing.assert_array_equal(batch["token_ids"], expected["token_ids"])


class Table(list):
    """A table as pandas has it: its items are the names of its columns."""

    ndim = 2


@pytest.mark.parametrize(
    "texts", [{"a": 1}, {"a"}, iter(["a"]), 3, np.array([["a"]]), Table(["text", "label"])]
)
def test_other_collections_are_refused(vocabulary, texts):
    with pytest.raises(ValueError, match="`texts` must be a list of strings"):
        Tokenizer.from_folder(vocabulary)(texts)


@pytest.mark.parametrize("name", ["padding_side", "truncation_side"])
def test_unknown_side_is_refused(vocabulary, tmp_path, name):
    folder = folder_of(vocabulary, tmp_path / "model", {name: "top"}, fast=False)
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}='top'"):
        Tokenizer.from_folder(folder)


def test_damaged_vocabulary_is_refused(vocabulary, tmp_path):
    folder = folder_of(vocabulary, tmp_path / "model", {}, fast=False)
    (folder / "merges.txt").write_text("no merge", "utf-8")
    with pytest.raises(ValueError, match=r"The tokenizer cannot be read .*merges\.txt"):
        Tokenizer.from_folder(folder)


def test_left_padding_of_roberta_is_refused(vocabulary, tmp_path):
    """Its positions are counted from the first column, not from the first token."""
    folder = folder_of(vocabulary, tmp_path / "model", {"padding_side": "left"}, fast=False)
    with pytest.raises(ValueError, match=r"`padding_side` .*Received: padding_side='left'"):
        kzoo.load_tokenizer(folder)


def test_tokenizer_of_a_folder_makes_the_inputs_of_its_model(vocabulary, tmp_path):
    folder = folder_of(vocabulary, tmp_path / "model", {}, fast=False)
    assert kzoo.load_tokenizer(folder).inputs == ("token_ids", "padding_mask")
    (folder / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    assert kzoo.load_tokenizer(folder).inputs == ("token_ids", "segment_ids", "padding_mask")


@pytest.mark.parametrize("text", ['{"model_type": "gpt2"}', '{"file": "a.tflite"}', "{"])
def test_tokenizer_of_another_model(vocabulary, tmp_path, text):
    folder = folder_of(vocabulary, tmp_path / "model", {}, fast=False)
    (folder / "config.json").write_text(text, "utf-8")
    assert kzoo.load_tokenizer(folder).inputs == ("token_ids", "padding_mask")
    (folder / "config.json").unlink()
    assert kzoo.load_tokenizer(folder).inputs == ("token_ids", "padding_mask")
