"""Labeled texts: what is read of tables and folders, what is removed, and what is set aside."""

import collections
import csv
import gzip
import json

import pytest

from kzoo.data.labeled import LabeledTexts, read_labeled, read_unlabeled
from kzoo.data.splitting import clean, hash_of, hashes_of, split

pytestmark = pytest.mark.once

TEXTS = ["plain", 'with "quotes", and commas', "over\ntwo lines", "naïve 北京 🙂"]
LABELS = ["a", "b", "a", "b"]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def write_csv(path, names, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([names, *rows])
    return path


def test_all_formats_give_the_same_rows(tmp_path) -> None:
    rows = list(zip(TEXTS, LABELS, strict=True))
    table = write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    records = [json.dumps({"label": label, "text": text}) for text, label in rows]
    lines = write(tmp_path / "c.jsonl", "\n".join(records) + "\n\n")
    for source in (table, packed, lines):
        data = read_labeled(source)
        assert data.parts == {"all": LabeledTexts(TEXTS, None, LABELS)}
        assert data.columns == {"text": "text", "label": "label"}
    for number, (text, label) in enumerate(rows):
        write(tmp_path / "folders" / label / f"{number}.txt", text)
    found = read_labeled(tmp_path / "folders").parts["all"]
    assert sorted(zip(found.texts, found.labels, strict=True)) == sorted(rows)
    assert found.labels == sorted(LABELS)


def test_tsv_takes_quotes_as_text(tmp_path) -> None:
    path = write(tmp_path / "a.tsv", 'sentence\tlabel\n"Stop", he said\t1\nit\'s 5" long\t0\n')
    data = read_labeled(path).parts["all"]
    assert data == LabeledTexts(['"Stop", he said', "it's 5\" long"], None, ["1", "0"])


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["id", "Tweet", "sentiment"], {"text": "Tweet", "label": "sentiment"}),
        (
            ["premise", "hypothesis", "label", "index"],
            {"text": "premise", "label": "label", "pair": "hypothesis"},
        ),
        # Two columns, of which one has a name that tells.
        (["utterance", "intent"], {"text": "utterance", "label": "intent"}),
        (["text", "mood"], {"text": "text", "label": "mood"}),
    ],
)
def test_columns_are_guessed(tmp_path, names, columns) -> None:
    path = write_csv(tmp_path / "a.csv", names, [[f"x{name}" for name in names]])
    data = read_labeled(path)
    assert data.columns == columns
    part = data.parts["all"]
    assert part.labels == [f"x{columns['label']}"]
    pair = columns.get("pair")
    assert part.x == ([(f"x{columns['text']}", f"x{pair}")] if pair else [f"x{columns['text']}"])


def test_columns_can_be_named(tmp_path) -> None:
    path = write_csv(tmp_path / "a.csv", ["text", "other", "label", "mark"], [["t", "o", "l", "m"]])
    data = read_labeled(path, text="other", pair="text", label="mark")
    assert data.parts["all"] == LabeledTexts(["o"], ["t"], ["m"])


def test_parts_are_kept(tmp_path) -> None:
    rows = [["one", "a", "train"], ["two", "b", "Dev"], ["three", "a", "test"]]
    by_column = write_csv(tmp_path / "a.csv", ["text", "label", "split"], rows)
    for text, label, part in rows:
        write_csv(tmp_path / f"{part.lower()}.csv", ["text", "label"], [[text, label]])
        write(tmp_path / "folders" / part / label / "0.txt", text)
    by_column.rename(tmp_path / "folders" / "table.csv")
    expected = {
        part: LabeledTexts([text], None, [label])
        for part, (text, label, _) in zip(("train", "validation", "test"), rows, strict=True)
    }
    for source in (tmp_path / "folders" / "table.csv", tmp_path, tmp_path / "folders"):
        assert read_labeled(source).parts == expected, source


BAD = {
    'a.csv: text,label\nx,1\n"y,2\n': r"Quotes must be closed.*begins in line 3 of .*a\.csv",
    'a.csv: text,label\n"two\nlines",1\n"y" z,2\n': r"Quotes.*begins in line 4 of",
    "a.csv: text,label\nx\n": r"2 values, as many as there are columns. Received: 1 in line 2",
    "a.csv: text,label\nx,1,2\n": r"Received: 3 in line 2",
    "a.csv: text,text\nx,1\n": "must have the names of the columns",
    "a.csv: text,label\n": "at least one row",
    "a.csv: text,label\n  ,1\n": r"`text` must be a string.*Received: text='  ' in line 2",
    "a.csv: text,label\nx,\n": r"`label` must be a string or an integer.*Received: label=''",
    "a.csv: id,text,mood\n1,x,y\n": r"`label` must name a column of .*: 'id', 'text', 'mood'",
    "a.csv: text,label,split\nx,1,held\n": "`split` must be train, validation or test",
    "a.csv: text,label,split\nx,1,test\n": "`split` must have rows of train",
    'a.tsv: text\tlabel\n"he said ""no"""\t1\n': r"not quoted.*Received: quotes in line 2",
    'a.jsonl: {"text": "x", "label": 1}\n{"text": "y"}\n': r"Received: label=None in line 2",
    'a.jsonl: {"text": "x", "label": 1.5}\n': r"`label` must be .*Received: label=1.5 in line 1",
    'a.jsonl: {"text": ["x"], "label": 1}\n': r"`text` must be a string.*Received: text=\['x'\]",
    'a.jsonl: {"text": "x"\n': r"must be a JSON object. Received: line 1",
    "a.json: {}": r"ends with \.csv, \.tsv, \.jsonl",
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_rows_are_named(tmp_path, case) -> None:
    name, content = case.split(": ", 1)
    with pytest.raises(ValueError, match=f"(?s){BAD[case]}"):
        read_labeled(write(tmp_path / name, content))


def test_bad_sources_are_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"`data` must be .*Received: .*nothing"):
        read_labeled(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"folder with `.txt` files"):
        read_labeled(tmp_path)
    path = write(tmp_path / "a.csv", "text,label\nx,1\n")
    with pytest.raises(ValueError, match=r"`pair` must be a column.*Received: pair='second'"):
        read_labeled(path, pair="second")
    with pytest.raises(ValueError, match="columns must be different"):
        read_labeled(path, text="label", label="label")
    write(tmp_path / "folders" / "a" / "0.txt", "x")
    with pytest.raises(ValueError, match=r"`label` must be left out for folders"):
        read_labeled(tmp_path / "folders", label="label")
    broken = tmp_path / "folders" / "a" / "1.txt"
    broken.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"UTF-8. Received: byte 0xe9 in line 1.*1\.txt"):
        read_labeled(tmp_path / "folders")
    write_csv(tmp_path / "train.csv", ["text", "label", "split"], [["x", "1", "train"]])
    with pytest.raises(ValueError, match="must not have a column `split`"):
        read_labeled(tmp_path)


def texts(*rows):
    return LabeledTexts([text for text, _ in rows], None, [label for _, label in rows])


def test_duplicates_conflicts_and_leaks_are_removed() -> None:
    parts = {
        "train": texts(
            *(("One", "a"), ("one ", "a"), ("ﬁne  text", "a"), ("fine text", "b")),
            *(("two", "b"), ("three", "a"), ("four", "b")),
        ),
        "test": texts(("TWO", "b"), ("five", "a")),
        "validation": texts(("Three", "b"), ("five", "b")),
    }
    cleaned = clean(parts)
    assert cleaned.parts == {
        "train": texts(("One", "a"), ("four", "b")),
        "test": texts(("TWO", "b"), ("five", "a")),
        "validation": texts(("Three", "b")),
    }
    assert (cleaned.duplicates, cleaned.conflicts, cleaned.leaks) == (1, 2, 3)
    # Pairs are the same only if both of their texts are.
    pairs = LabeledTexts(["x", "x", "X"], ["1", "2", "1"], ["a", "b", "a"])
    kept = LabeledTexts(["x", "x"], ["1", "2"], ["a", "b"])
    assert clean({"all": pairs}).parts == {"all": kept}


def test_split_is_stratified_and_depends_on_texts_alone() -> None:
    rows = [(f"text {number}", "abc"[number % 10 // 4]) for number in range(1000)]
    data = texts(*rows, ("rare", "d"))
    stay, aside = split(data, 0.2)
    assert collections.Counter(aside.labels) == {"a": 80, "b": 80, "c": 40}
    assert sorted(stay.texts + aside.texts) == sorted(data.texts)
    _, backward = split(data.take(reversed(range(1001))), 0.2)
    assert set(backward.texts) == set(aside.texts)
    _, other = split(data, 0.2, seed=1)
    _, independent = split(data, 0.2, purpose="other")
    for chosen in (other, independent):
        assert 20 < len(set(chosen.texts) & set(aside.texts)) < 60
    assert split(data, 0.0) == (data, texts())


def test_hashes_tell_rows_apart() -> None:
    one, two = LabeledTexts(["ab"], ["c"], ["x"]), LabeledTexts(["a"], ["bc"], ["x"])
    assert hashes_of(one) != hashes_of(two)
    assert hash_of({"train": one}) != hash_of({"test": one})
    assert hash_of({"train": one}) != hash_of({"train": one._replace(labels=["y"])})
    assert hash_of({"train": one, "test": two}) == hash_of({"test": two, "train": one})


def test_texts_without_labels(tmp_path) -> None:
    path = tmp_path / "a.csv"
    for content, options, expected in (
        ("id,text\n1,one\n2,two\n", {}, ["one", "two"]),
        ("utterance\none\n", {}, ["one"]),
        ("label,utterance\nx,one\n", {}, ["one"]),
        ("sentence1,sentence2,label\none,two,x\n", {}, [("one", "two")]),
        ("a,b\none,two\n", {"text": "b"}, ["two"]),
        ("a,b\none,two\n", {"text": "b", "pair": "a"}, [("two", "one")]),
    ):
        path.write_text(content)
        assert read_unlabeled(path, **options) == expected
    for content, message in (
        ("a,b\none,two\n", "`text` must name a column of"),
        ("text,b\n ,two\n", "`text` must be a string that is not empty. .* in line 2 of"),
        ("text\n", "at least one row"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_unlabeled(path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_long_texts_are_read_whole(name, tmp_path) -> None:
    text = "word " * 20_000 + "end"
    row = json.dumps({"text": text, "label": "x"}) if name == "a.jsonl" else None
    separator = {"a.csv": ",", "a.tsv": "\t"}.get(name)
    (tmp_path / name).write_text(row or f"text{separator}label\n{text}{separator}x\n")
    assert read_labeled(tmp_path / name).parts["all"].texts == [text]
