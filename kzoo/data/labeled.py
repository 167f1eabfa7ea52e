"""Texts with labels: from tables, JSON lines and folders."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kzoo.arguments import check_choice
from kzoo.data.columns import choose_columns
from kzoo.data.corpus import read_lines
from kzoo.data.tables import is_table, read_rows
from kzoo.problems import PROBLEMS

_PARTS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


_EXPECTED = {
    "text": "a string that is not empty",
    "pair": "a string that is not empty",
    "split": "train, validation or test",
}


class LabeledTexts(NamedTuple):
    """Texts, the second one of each where they are pairs, and a label for each.

    Of the problem `single_label` a label is a string, of `multi_label` a tuple of strings, and of
    `regression` a number.
    """

    texts: list[str]
    seconds: list[str] | None
    labels: list[Any]
    problem: str = "single_label"

    @property
    def x(self) -> list[Any]:
        """What `fit` takes: texts, or pairs of texts."""
        if self.seconds is None:
            return list(self.texts)
        return list(zip(self.texts, self.seconds, strict=True))

    def take(self, rows: Iterable[int]) -> "LabeledTexts":
        """Return some of the rows, in the order in which they are named."""
        rows = list(rows)

        def taken(column: list[Any]) -> list[Any]:
            return [column[row] for row in rows]

        seconds = None if self.seconds is None else taken(self.seconds)
        return self._replace(texts=taken(self.texts), seconds=seconds, labels=taken(self.labels))


class LabeledData(NamedTuple):
    """Labeled texts by the part of the data they belong to, and where they were found.

    The parts are `train`, `validation` and `test`, or `all` where the data are not split.
    `columns` names the column of the `text`, `pair`, `label` and `split`.
    """

    parts: dict[str, LabeledTexts]
    columns: dict[str, str]


def read_labeled(
    source: str | os.PathLike[str],
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    problem: str = "single_label",
) -> LabeledData:
    """Read labeled texts.

    A source is a `.csv`, `.tsv` or `.jsonl` file, also compressed (`.gz`); a folder of such files
    that are called `train`, `validation` and `test`; a folder with a folder of `.txt` files for
    each label; or a folder of such folders called `train`, `validation` and `test`. A table has a
    line with the names of its columns; one called `split` says which part a row belongs to. In
    `.tsv` files quotes are text.

    Args:
        source: The file or folder.
        text: Name of the column of texts. By default it is guessed.
        pair: Name of the column of second texts. By default there is one where the names are those
            of a pair, such as `premise` and `hypothesis`.
        label: Name of the column of labels. By default it is guessed.
        problem: What labels are. `"single_label"`: strings or integers; `"multi_label"`: lists of
            such, in tables with commas between them; `"regression"`: numbers.

    Returns:
        The texts in their parts.

    Raises:
        ValueError: If something is not as it must be; the message has the file and the line.
    """
    path, wanted = Path(source), {"text": text, "pair": pair, "label": label}
    check_choice(PROBLEMS, problem=problem)
    if not path.exists():
        raise ValueError(f"`data` must be a file or a folder. Received: {path}, which is not there")
    if path.is_file():
        return _read_file(path, wanted, problem)
    files = {_part_of(file): file for file in sorted(path.iterdir()) if is_table(file)}
    if "train" in files:
        return _read_files({part: file for part, file in files.items() if part}, wanted, problem)
    if problem != "single_label":
        raise ValueError(
            "`problem` must be 'single_label' for folders of `.txt` files. "
            f"Received: problem={problem!r}, {path}"
        )
    if any(wanted.values()):
        raise ValueError(
            f"`{next(name for name in wanted if wanted[name])}` must be left out for folders of "
            f"`.txt` files, which have no columns. Received: {path}"
        )
    folders = {_part_of(folder): folder for folder in sorted(path.iterdir()) if folder.is_dir()}
    if "train" in folders:
        parts = {part: _read_folder(folder) for part, folder in folders.items() if part}
    else:
        parts = {"all": _read_folder(path)}
    return LabeledData(parts, {"text": "*.txt", "label": "folder"})


def read_unlabeled(
    source: str | os.PathLike[str], text: str | None = None, pair: str | None = None
) -> list[Any]:
    """Read texts, or pairs of texts, of a table; what else it has is left out.

    Args:
        source: A `.csv`, `.tsv` or `.jsonl` file, also compressed, as for `read_labeled`.
        text: Name of the column of texts. By default it is guessed.
        pair: Name of the column of second texts. By default it is guessed.

    Returns:
        Texts, or pairs of texts.

    Raises:
        ValueError: If something is not as it must be; the message has the file and the line.
    """
    path, wanted = Path(source), {"text": text, "pair": pair, "label": None}
    columns: dict[str, str] = {}
    found = LabeledTexts([], None, [])
    for line, record in read_rows(path):
        if not columns:
            columns = choose_columns(list(record), wanted, path, needed=("text",))
            found = LabeledTexts([], [] if "pair" in columns else None, [])
        for name, column in (("text", found.texts), ("pair", found.seconds)):
            if column is not None:
                column.append(_value(name, record, columns[name], f"line {line} of {path}"))
    if not columns:
        raise ValueError(f"`source` must have at least one row. Received: {path}")
    return found.x


def _read_file(path: Path, wanted: Mapping[str, str | None], problem: str) -> LabeledData:
    """Read a file, in parts where it has a column for them."""
    found, columns, names = _read_table(path, wanted, problem)
    if not names:
        return LabeledData({"all": found}, columns)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(_PARTS[name.lower()], []).append(row)
    if "train" not in rows:
        raise ValueError(f"`split` must have rows of train. Received: {', '.join(rows)} in {path}")
    return LabeledData({part: found.take(rows[part]) for part in rows}, columns)


def _read_files(
    files: Mapping[str, Path], wanted: Mapping[str, str | None], problem: str
) -> LabeledData:
    """Read a file for each part, all with the columns of the first."""
    columns: dict[str, str] = {}
    parts = {}
    for part, path in files.items():
        parts[part], columns, names = _read_table(path, {**wanted, **columns}, problem)
        if names:
            raise ValueError(
                f"The file must not have a column `split`: its name says that it is {part}. "
                f"Received: {path}"
            )
    return LabeledData(parts, columns)


def _read_table(
    path: Path, wanted: Mapping[str, str | None], problem: str
) -> tuple[LabeledTexts, dict[str, str], list[str]]:
    """Read a file: its rows, the columns, and the name of each row's part, where it has them."""
    columns: dict[str, str] = {}
    rows: dict[str, list[Any]] = {}
    for line, record in read_rows(path):
        if not columns:
            columns = choose_columns(list(record), wanted, path)
            rows = {name: [] for name in columns}
        for name, column in columns.items():
            where = f"line {line} of {path}"
            if name == "label":
                rows[name].append(_label(record, column, where, problem))
            else:
                rows[name].append(_value(name, record, column, where))
    if not columns:
        raise ValueError(f"`data` must have at least one row. Received: {path}")
    found = LabeledTexts(rows["text"], rows.get("pair"), rows["label"], problem)
    return found, columns, rows.get("split", [])


def _label(record: Mapping[str, Any], column: str, where: str, problem: str) -> Any:
    """Require a label."""
    value = record.get(column)
    label = PROBLEMS[problem].parse(value)
    if label is None:
        raise ValueError(
            f"`label` must be {PROBLEMS[problem].parsed}. Received: {column}={value!r} in {where}"
        )
    return label


def _value(name: str, record: Mapping[str, Any], column: str, where: str) -> str:
    """Require a text or the name of a part."""
    value = record.get(column)
    known = name != "split" or str(value).strip().lower() in _PARTS
    if not isinstance(value, str) or not value.strip() or not known:
        raise ValueError(
            f"`{name}` must be {_EXPECTED[name]}. Received: {column}={value!r} in {where}"
        )
    return value.strip() if name == "split" else value


def _part_of(path: Path) -> str | None:
    """Return the part of the data that a file or folder is, by its name."""
    return _PARTS.get(path.name.split(".")[0].lower())


def _read_folder(folder: Path) -> LabeledTexts:
    """Read the texts of each label's folder."""
    found = LabeledTexts([], None, [])
    for label in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(label.glob("*.txt")):
            text = "".join(read_lines(path))
            found.texts.append(_value("text", {"text": text}, "text", str(path)))
            found.labels.append(label.name)
    if not found.texts:
        raise ValueError(
            "`data` must be a folder with `.txt` files in a folder for each label, or with files "
            f"called train, validation and test. Received: {folder}"
        )
    return found
