"""Rows of tables and of JSON lines, with the line that each begins in."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kzoo.data.corpus import read_lines

Row = tuple[int, dict[str, Any]]

# Only a writer of CSV doubles every quote inside quotes.
_QUOTED = re.compile('"(?:[^"]|"")*""(?:[^"]|"")*"')


def read_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        path: A `.csv`, `.tsv` or `.jsonl` file, also compressed, `.gz`.

    Yields:
        The line that a row begins in, and its values by the names of the columns.

    Raises:
        ValueError: If the file is of another kind, or a row is not as it must be.
    """
    kind = _kind_of(path)
    if kind is None:
        raise ValueError(
            f"`data` must be a folder or a file whose name ends with {', '.join(_READERS)}, also "
            f"compressed, `.gz`. Received: {path}"
        )
    yield from _READERS[kind](path)


def is_table(path: Path) -> bool:
    """Tell whether `read_rows` reads a file of this name."""
    return _kind_of(path) is not None


def _kind_of(path: Path) -> str | None:
    """Return what a file is by its name."""
    name = path.name.removesuffix(".gz")
    return next((suffix for suffix in _READERS if name.endswith(suffix)), None)


def _read_csv(path: Path) -> Iterator[Row]:
    """Read quoted values with commas between them."""
    reader = csv.reader(read_lines(path), strict=True)
    return _named(reader, lambda: reader.line_num, path)


def _read_tsv(path: Path) -> Iterator[Row]:
    """Read plain values with tabs between them."""
    reader = csv.reader(read_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    for line, row in _named(reader, lambda: reader.line_num, path):
        if any(_QUOTED.fullmatch(value) for value in row.values()):
            raise ValueError(
                "Values between tabs are not quoted: write commas, and a name that ends with "
                f".csv. Received: quotes in line {line} of {path}"
            )
        yield line, row


def _named(reader: Iterable[list[str]], last_line: Callable[[], int], path: Path) -> Iterator[Row]:
    """Give the values of each row the names of the first, and yield them with their line."""
    names: list[str] = []
    line = 1
    try:
        for row in reader:
            if not names:
                names = _check_names(row, path)
            elif row:
                if len(row) != len(names):
                    raise ValueError(
                        f"Each row must have {len(names)} values, as many as there are columns. "
                        f"Received: {len(row)} in line {line} of {path}"
                    )
                yield line, dict(zip(names, row, strict=True))
            line = last_line() + 1
    except csv.Error as error:
        raise ValueError(
            "Quotes must be closed, and doubled inside quotes, and no value longer than "
            f"{csv.field_size_limit():,} characters ({error}). "
            f"Received: a row that begins in line {line} of {path}"
        ) from error


def _check_names(names: list[str], path: Path) -> list[str]:
    names = [name.strip() for name in names]
    if len(set(names)) != len(names) or not all(names):
        raise ValueError(
            f"The first line must have the names of the columns. Received: {names} in {path}"
        )
    return names


def _read_jsonl(path: Path) -> Iterator[Row]:
    """Read a JSON object from each line."""
    for line, content in enumerate(read_lines(path), 1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict):
            raise ValueError(f"Each line must be a JSON object. Received: line {line} of {path}")
        yield line, record


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
}
