"""Documents of text files, JSON lines and folders."""

import gzip
import json

import pytest

from kzoo.data.corpus import find_files, read_documents

pytestmark = pytest.mark.once

TEXT = "One line.\nAnother.\n\n \nSecond \u00e9cole.\r\n\n\n"
DOCUMENTS = ["One line.\nAnother.\n", "Second \u00e9cole.\r\n"]


def test_blank_lines_are_between_documents(tmp_path):
    for name, content in {
        "a.txt": TEXT.encode(),
        "b.txt.gz": gzip.compress(TEXT.encode()),
        "c.txt": TEXT.encode("utf-8-sig"),
        "d": TEXT.rstrip().encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert [d.strip() for d in read_documents(tmp_path / name)] == [
            d.strip() for d in DOCUMENTS
        ]


def test_each_record_is_a_document(tmp_path):
    lines = "".join(json.dumps({"body": text, "n": 1}) + "\n\n" for text in [*DOCUMENTS, " "])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert list(read_documents(tmp_path / "a.jsonl.gz", "body")) == DOCUMENTS


def test_folders_are_searched_in_order(tmp_path):
    names = ["b/a.txt", "a.jsonl", "b/c.txt.gz", "b/d.jsonl.gz", "b/skipped.md"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path / "b", tmp_path, tmp_path / "b" / "skipped.md"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "b/a.txt",
        "b/c.txt.gz",
        "b/d.jsonl.gz",
        "a.jsonl",
        "b/skipped.md",
    ]


@pytest.mark.parametrize("name", ["missing.txt", "empty"])
def test_sources_without_text_files(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"`sources` must be text files.*Received: .*{name}"):
        find_files([tmp_path / name])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.txt",
            b"fine\nnot \xff fine",
            r"must be UTF-8\. Received: byte 0xff in line 2, offset 9, of .*a\.txt",
        ),
        ("a.txt.gz", b"no gzip", r"must be whole and compressed by gzip\. Received: .*a\.txt\.gz"),
        (
            "a.txt.gz",
            gzip.compress(b"text" * 99, mtime=0)[:-9],
            "must be whole and compressed by gzip",
        ),
        ("a.jsonl", b'{"text": "a"}\n{"tex', r"must be a JSON object\. Received: line 2 of .*a"),
        ("a.jsonl", b'["text"]', r"the field 'text'\. Received: \[\"text\"\] in line 1 of"),
        ("a.jsonl", b'{"text": 3}', r"the field 'text'\. Received: .* in line 1 of"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_documents(tmp_path / name))
