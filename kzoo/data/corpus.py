"""Documents of raw text: from files and folders, plain or compressed."""

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

_TEXT, _RECORDS = ".txt", ".jsonl"
SUFFIXES = (_TEXT, _RECORDS, f"{_TEXT}.gz", f"{_RECORDS}.gz")


def find_files(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the files of a corpus, those of a folder in the order of their names.

    Args:
        sources: Files, taken as they are named, and folders, searched for files whose names end
            like those of `SUFFIXES`.

    Returns:
        The files, each once.

    Raises:
        ValueError: If a source does not exist, or a folder has no such file.
    """
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            found = sorted(
                p for p in source.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file()
            )
        else:
            found = [source] if source.is_file() else []
        if not found:
            raise ValueError(
                f"`sources` must be text files, or folders with files whose names end with "
                f"{', '.join(SUFFIXES)}. Received: {source}"
            )
        files += found
    return list(dict.fromkeys(files))


def read_documents(path: Path, field: str = "text") -> Iterator[str]:
    """Read the documents of a file.

    Of JSON lines each record is a document; in any other file blank lines are between documents.

    Args:
        path: The file; compressed if its name ends with `.gz`.
        field: The field of a JSON record that has the text.

    Yields:
        The documents, none of them empty.

    Raises:
        ValueError: If the file is not UTF-8, not compressed as its name says, or a line is no
            record with the field; the message has the file, the line and the offset.
    """
    is_records = path.name.removesuffix(".gz").endswith(_RECORDS)
    lines = read_lines(path)
    yield from _records(lines, path, field) if is_records else _paragraphs(lines)


def read_all(files: Iterable[Path], field: str = "text") -> Iterator[str]:
    """Read the documents of several files.

    Args:
        files: The files.
        field: As for `read_documents`.

    Yields:
        The documents, in order.
    """
    for path in files:
        yield from read_documents(path, field)


def read_lines(path: Path) -> Iterator[str]:
    """Read the lines of a text file.

    Args:
        path: The file; compressed if its name ends with `.gz`.

    Yields:
        The lines with their ends, without a byte order mark.

    Raises:
        ValueError: If the file is not UTF-8, or not compressed as its name says.
    """
    try:
        with _open(path) as file:
            yield from _decoded(file, path)
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(
            f"The file must be whole and compressed by gzip. Received: {path}"
        ) from error


def _open(path: Path) -> AbstractContextManager[Iterable[bytes]]:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def _decoded(file: Iterable[bytes], path: Path) -> Iterator[str]:
    """Yield the lines of a file in UTF-8."""
    offset = 0
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"The file must be UTF-8. Received: byte 0x{line[error.start]:02x} in line "
                f"{number}, offset {offset + error.start}, of {path}"
            ) from error
        offset += len(line)


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Yield what is between blank lines."""
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line)
        elif document:
            yield "".join(document)
            document = []
    if document:
        yield "".join(document)


def _records(lines: Iterable[str], path: Path, field: str) -> Iterator[str]:
    """Yield the text of each record."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"Each line must be a JSON object. Received: line {number} of {path}"
            ) from error
        text = record.get(field) if isinstance(record, dict) else None
        if not isinstance(text, str):
            raise ValueError(
                f"Each record must have its text in the field {field!r}. "
                f"Received: {line.strip()[:60]} in line {number} of {path}"
            )
        if text.strip():
            yield text
