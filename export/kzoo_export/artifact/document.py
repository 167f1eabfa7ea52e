"""Facts that print as tables and turn into JSON types."""

import dataclasses
import io
import json
import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table


class Document:
    """A frozen dataclass that prints as tables and turns into JSON types."""

    def tables(self) -> list[Table]:
        """Lay the facts out as tables."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as JSON types."""
        return _as_json(dataclasses.asdict(self))  # type: ignore[call-overload]

    def to_json(self) -> str:
        """Write every fact as JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Write the tables as Markdown."""
        return "\n\n".join(_markdown(table) for table in self.tables()) + "\n"

    def __rich__(self) -> Group:
        return Group(*self.tables())

    def __str__(self) -> str:
        # Without markup: a shape or a name in brackets is no style.
        console = Console(file=io.StringIO(), width=110, color_system=None, markup=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def open_table(title: str, show_header: bool = True) -> Table:
    """Start a table without vertical lines, to leave the width of a terminal to the text.

    Args:
        title: Its title.
        show_header: Whether the columns have headings.

    Returns:
        The table, without columns.
    """
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        show_header=show_header,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def facts_table(title: str) -> Table:
    """Start a table of one fact a line.

    Args:
        title: Its title.

    Returns:
        The table, with a column for the name of a fact and one for the fact.
    """
    table = open_table(title, show_header=False)
    table.add_column("fact", no_wrap=True)
    table.add_column("value", overflow="fold")
    return table


def _as_json(value: Any) -> Any:
    """Replace the numbers that JSON lacks by null."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown(table: Table) -> str:
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    header = [str(column.header) for column in table.columns]
    rows = [header, ["---"] * len(header), *zip(*cells, strict=True)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    caption = [f"\n{table.caption}"] if table.caption else []
    return f"### {table.title}\n\n" + "\n".join([*lines, *caption])
