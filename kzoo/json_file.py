"""JSON files, and files that are there whole or not at all."""

import contextlib
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any


def read_json(path: pathlib.Path) -> Any:
    """Read a file.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        ValueError: If it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The file is not valid JSON ({error}). Received: {path}") from error


def read_json_object(path: pathlib.Path) -> dict[str, Any]:
    """Read a file whose content has names.

    Args:
        path: The file.

    Returns:
        Value by name.

    Raises:
        ValueError: If it cannot be read, or is not a JSON object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"The file must contain a JSON object. Received: {path}")
    return content


def write_json(path: pathlib.Path, content: Any) -> None:
    """Write a file, the whole of it or nothing.

    Args:
        path: The file.
        content: What to write.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def write_json_lines(path: pathlib.Path, records: Iterable[Any]) -> None:
    """Write a file with a record a line, the whole of it or nothing.

    Args:
        path: The file.
        records: What to write.
    """
    with whole_file(path) as unfinished:
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        unfinished.write_text("".join(lines), "utf-8")


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Have a file appear when it is finished, and nothing be left of one that is not.

    Args:
        path: The file.

    Yields:
        The file to write in its place.
    """
    unfinished = path.with_suffix(".unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
