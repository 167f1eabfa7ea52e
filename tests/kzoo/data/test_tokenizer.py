import concurrent.futures
import copy
import json
import shutil

import numpy as np
import pytest

import kzoo
from kzoo.data import Tokenizer
from tests.huggingface import reference

pytestmark = pytest.mark.once

ODD = [
    "",
    " ",
    "\n",
    "two\nlines\tand a tab",
    "\u00e9cole na\u00efve \u00c5ngstr\u00f6m fa\u00e7ade",
    "e\u0301cole, decomposed",
    "\u0130stanbul \u00df \u0141\u00f3d\u017a",
    "\u6771\u4eac\u90fd\u306e\u5929\u6c17\u306f\u6674\u308c\u3067\u3059",
    "\u4e2d\u6587\u548c English mixed",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea",
    "\U0001f600 \U0001f469\u200d\U0001f52c \U0001f1eb\U0001f1f7",
    "non\u00a0breaking, zero\u200bwidth, soft\u00adhyphen, line\u2028separator",
    "[CLS] [SEP] [MASK] [PAD] [UNK] literally",
    "don't can't 3.14 1,000,000 user@example.com http://a.b/c?d=e",
    "x" * 150,
    "control \x00 \x07 \ufffd characters",
    "\u2014dashes\u2013and\u2026\u201cquotes\u201d",
    "word " * 300,
]


@pytest.fixture(scope="module")
def tokenizer(minilm_folder):
    return Tokenizer.from_folder(minilm_folder)


@pytest.fixture(scope="module")
def slow_folder(minilm_folder, tmp_path_factory):
    """A folder with vocab.txt only, as the first BERT models have it."""
    folder = tmp_path_factory.mktemp("slow")
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(minilm_folder / name, folder)
    return folder


def lines() -> list[str]:
    """More than 2,000 real lines, many with a space or a line break at the ends."""
    texts = kzoo.data.sample_texts()
    parts = [text[start : start + 40] for text in texts for start in range(0, len(text), 40)]
    found = [*texts, *parts, *(f" {part}\n" for part in parts), *ODD]
    assert len(found) > 2000
    return found


def cases():
    texts = kzoo.data.sample_texts()
    return [
        {"texts": lines(), "length": 64},
        {"texts": ODD, "length": 3},
        {"texts": texts[:40] + ODD, "pairs": ODD + texts[100:140], "length": 24},
        {"texts": ODD, "pairs": ODD, "length": 6},
        {"texts": ODD[::-1], "pairs": ODD, "length": 128},
    ]


def assert_as_hugging_face(tokenizer, folder):
    with np.load(folder / "batches.npz") as expected:
        for index, case in enumerate(cases()):
            batch = tokenizer(case["texts"], case.get("pairs"), length=case["length"])
            assert list(batch) == ["token_ids", "segment_ids", "padding_mask"]
            for name, array in batch.items():
                assert array.dtype == np.int32
                np.testing.assert_array_equal(array, expected[f"{name}_{index}"])


def test_ids_are_those_of_hugging_face(tokenizer, slow_folder, minilm_folder, tmp_path):
    folder = reference("tokenize", model=str(minilm_folder), cases=cases())
    assert_as_hugging_face(tokenizer, folder)
    assert_as_hugging_face(Tokenizer.from_folder(slow_folder), folder)
    tokenizer.save(tmp_path)
    assert_as_hugging_face(Tokenizer.from_folder(tmp_path), folder)


def test_tokenizer_of_vocab_txt_is_the_same_one(tokenizer, slow_folder):
    slow = Tokenizer.from_folder(slow_folder)
    assert slow.vocab_size == tokenizer.vocab_size == 30522
    assert slow.pad_id == tokenizer.pad_id == 0
    assert slow.max_length == tokenizer.max_length == 512


def test_case_is_kept_where_the_configuration_says_so(slow_folder, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nHello\nhello\n")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    batch = Tokenizer.from_folder(tmp_path)(["Hello hello HELLO"])
    assert batch["token_ids"].tolist() == [[2, 5, 6, 1, 3]]


def test_saving_twice_gives_the_same_files(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "one")
    Tokenizer.from_folder(tmp_path / "one").save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_vocabulary_is_written_as_it_was_read(tokenizer, minilm_folder, tmp_path):
    tokenizer.save(tmp_path)
    assert (tmp_path / "vocab.txt").read_bytes() == (minilm_folder / "vocab.txt").read_bytes()


def test_without_a_length_rows_are_as_long_as_the_longest_text(tokenizer):
    batch = tokenizer(["one", "one two three", ""])
    assert batch["token_ids"].shape == (3, 5)
    assert batch["padding_mask"].sum(axis=1).tolist() == [3, 5, 2]
    assert tokenizer(["word " * 600])["token_ids"].shape == (1, 512)


def test_segments_of_a_pair(tokenizer):
    batch = tokenizer(["one two"], ["three"], length=8)
    assert batch["segment_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 0, 0]]
    assert batch["padding_mask"].tolist() == [[1, 1, 1, 1, 1, 1, 0, 0]]


def test_threads_may_share_a_tokenizer(tokenizer):
    texts = kzoo.data.sample_texts()[:50]
    lengths = [8, 16, 24, 32] * 8
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda length: tokenizer(texts, length=length), lengths))
    for length, batch in zip(lengths, batches, strict=True):
        expected = tokenizer(texts, length=length)
        np.testing.assert_array_equal(batch["token_ids"], expected["token_ids"])


def test_tokenizer_can_be_copied(tokenizer):
    batch = copy.deepcopy(tokenizer)(["A text."])
    np.testing.assert_array_equal(batch["token_ids"], tokenizer(["A text."])["token_ids"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "a text"}, r"`texts` must be a list of strings\. Received: .*type str"),
        ({"texts": b"a text"}, "`texts` must be a list of strings"),
        ({"texts": None}, "`texts` must be a list of strings"),
        ({"texts": []}, r"`texts` must not be empty\. Received: texts=\[\]"),
        ({"texts": ["a", 3]}, r"`texts` .*Received: texts\[1\] of type int"),
        ({"texts": ["a", None]}, r"`texts` .*Received: texts\[1\] of type NoneType"),
        ({"texts": ["a"], "pairs": ["b", "c"]}, "`pairs` .*Received: 2 pairs, 1 texts"),
        ({"texts": ["a"], "pairs": "b"}, "`pairs` must be a list of strings"),
        ({"texts": ["a"], "length": 2}, "`length` .*at least 3.*Received: length=2"),
        ({"texts": ["a"], "pairs": ["b"], "length": 3}, "`length` .*at least 4.*length=3"),
        ({"texts": ["a"], "length": -1}, "`length` .*Received: length=-1"),
        ({"texts": ["a"], "length": 0}, "`length` .*Received: length=0"),
        ({"texts": ["a"], "length": 8.0}, r"`length` .*Received: length=8\.0"),
        ({"texts": ["a"], "length": True}, "`length` .*Received: length=True"),
    ],
)
def test_wrong_argument_is_one_clear_error(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(**arguments)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"must contain tokenizer\.json, vocab\.txt, vocab\.json and"),
        ({"tokenizer.json": "{"}, "The tokenizer cannot be read"),
        ({"tokenizer.json": "{}"}, "The tokenizer cannot be read"),
        ({"tokenizer_config.json": "{", "vocab.txt": "[PAD]"}, "not valid JSON"),
        ({"tokenizer_config.json": "[]", "vocab.txt": "[PAD]"}, "must contain a JSON object"),
        ({"vocab.txt": "[PAD]\na\n"}, r"must contain the special tokens \[UNK\], \[CLS\]"),
    ],
)
def test_damaged_folder_is_one_clear_error(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_folder(tmp_path)


def test_vocabulary_without_padding_is_refused(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "<none>"}))
    with pytest.raises(ValueError, match=r"must contain the padding token.*<none>"):
        Tokenizer.from_folder(tmp_path)


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "berlin", "Berlin", "[", "]", "ent")


def folder_with(tmp_path, **files):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return tmp_path


@pytest.mark.parametrize("lower", [True, False])
def test_settings_beside_tokenizer_json_are_obeyed(tmp_path, lower):
    folder = folder_with(tmp_path, tokenizer_config={"do_lower_case": not lower})
    Tokenizer.from_folder(folder).save(folder)
    folder_with(tmp_path, tokenizer_config={"do_lower_case": lower})
    # The ids of transformers 5.24.
    (row,) = Tokenizer.from_folder(folder)(["Berlin"])["token_ids"].tolist()
    assert row == [2, WORDS.index("berlin" if lower else "Berlin"), 3]


def test_added_tokens_are_whole(tmp_path):
    folder = folder_with(tmp_path, added_tokens={"[NEW]": 11, "[ENT]": 10, "berlin": 5})
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer(["berlin [ENT] [NEW]"])["token_ids"][0].tolist() == [2, 5, 10, 11, 3]
    tokenizer.save(folder)
    again = Tokenizer.from_folder(folder)
    assert again(["berlin [ENT] [NEW]"])["token_ids"][0].tolist() == [2, 5, 10, 11, 3]


@pytest.mark.parametrize(
    "added", [{"[ENT]": 12}, {"berlin": 6}, {"[ENT]": "10"}], ids=["gap", "another id", "text"]
)
def test_added_tokens_that_do_not_fit_are_refused(tmp_path, added):
    with pytest.raises(ValueError, match=r"The file must.*Received: .*added_tokens\.json"):
        Tokenizer.from_folder(folder_with(tmp_path, added_tokens=added))


def test_special_tokens_may_be_named_in_the_map_alone(tmp_path):
    folder = folder_with(tmp_path, special_tokens_map={"pad_token": "ent"})
    assert Tokenizer.from_folder(folder).pad_id == WORDS.index("ent")
    folder_with(tmp_path, tokenizer_config={"pad_token": {"content": "[PAD]"}})
    assert Tokenizer.from_folder(folder).pad_id == 0


@pytest.mark.parametrize("argument", ["texts", "pairs"])
def test_text_that_cannot_be_encoded_is_named(tmp_path, argument):
    texts = {"texts": ["berlin", "berlin"], argument: ["fine", "a \ud83d"]}
    with pytest.raises(ValueError, match=rf"`{argument}` must be .*Received: {argument}\[1\]"):
        Tokenizer.from_folder(folder_with(tmp_path))(**texts)
