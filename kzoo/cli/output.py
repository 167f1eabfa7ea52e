"""What the commands print: results on stdout, progress and errors on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

ProgressCallback = Callable[[str, float], None]


def make_table(show_header: bool = True) -> Table:
    """Make an empty table without vertical lines, to leave the width to the text.

    Args:
        show_header: Whether the columns have headings.

    Returns:
        The table; its columns are two spaces apart.
    """
    # One space is the divider, the other the padding.
    return Table(
        box=box.SIMPLE,
        show_edge=False,
        show_header=show_header,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def print_table(title: str, table: Table) -> None:
    """Print a table, as wide as the terminal.

    Args:
        title: Line above the table, never cut or folded.
        table: The table.
    """
    console = Console(markup=False)
    # Rich would fold a title of the table itself to the width of the table.
    console.print(Text(title, style="table.title"), soft_wrap=True)
    console.print(table)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print facts, one a line, as a table.

    Args:
        title: Line above the table.
        facts: What they say, by name.
    """
    table = make_table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    print_table(title, table)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, such as 1:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def print_result(result: Any, as_json: bool) -> None:
    """Print a result of the exporter.

    Args:
        result: An object that rich can print and that has `to_dict`.
        as_json: Whether to print JSON instead of tables.
    """
    if as_json:
        print_json(result.to_dict())
    else:
        Console(markup=False).print(result)


def print_json(value: Any) -> None:
    """Print a value as JSON.

    Args:
        value: The value; what JSON has no type for is written as text.
    """
    # Straight to stdout: rich would wrap long lines.
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_error(error: Exception, as_json: bool) -> None:
    """Print an error on one line of stderr, or as JSON on stdout.

    Args:
        error: The error.
        as_json: Whether to print JSON.
    """
    if as_json:
        print_json({"error": type(error).__name__, "message": str(error)})
        return
    err = Console(stderr=True)
    err.print(f"[bold red]Error:[/] {type(error).__name__}: ", end="")
    err.print(str(error), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def native_logs_hidden() -> Iterator[None]:
    """Keep what native libraries write to standard error off the terminal.

    What Python writes there is shown as ever. With `TF_CPP_MIN_LOG_LEVEL` in the environment, all
    is shown.

    Yields:
        While it is so.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    python_stream = sys.stderr
    with (
        os.fdopen(os.dup(2), "w", 1, encoding="utf-8", errors="replace") as terminal,
        Path(os.devnull).open("w") as nowhere,
    ):
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = terminal
        try:
            yield
        finally:
            terminal.flush()
            os.dup2(terminal.fileno(), 2)
            sys.stderr = python_stream


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressCallback]:
    """Show a bar on stderr, which leaves stdout to results.

    Args:
        title: What is going on.

    Yields:
        A function that takes the name of the current step and the fraction that is done.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def progress(step: str, fraction: float) -> None:
            bar.update(task, description=f"{title}: {step}", completed=fraction)

        yield progress
