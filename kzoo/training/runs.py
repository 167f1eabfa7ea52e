"""Folders that training writes into."""

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

# Of each weight: itself and two averages of the optimizer, and itself once more.
COPIES = 4


def check_new_folder(out: pathlib.Path) -> None:
    """Require a folder that is free.

    Args:
        out: The folder.

    Raises:
        ValueError: If it is there and has content.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"`out` must be a new or empty folder. Received: {out}")


def check_room(out: pathlib.Path, model: Any, copies: int = COPIES) -> None:
    """Require a disk with room for what is written of a model.

    Args:
        out: A folder, there or not.
        model: The model.
        copies: How often each of its weights is written.

    Raises:
        OSError: If the disk has less.
    """
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    needed, free = copies * 4 * model.count_params(), shutil.disk_usage(place).free
    if needed > free:
        raise OSError(
            f"The disk must have room for the model, {needed / 1e6:.1f} MB. "
            f"Received: {free / 1e6:.1f} MB free in {place}"
        )


def check_same(
    expected: str, place: pathlib.Path, found: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Require what is continued to be what was begun.

    Args:
        expected: What must be the same, for the message.
        place: Where it was begun.
        found: What was noted there, by name.
        given: The same of now.

    Raises:
        ValueError: If something differs; the message has the first that does.
    """
    for name in {**given, **found}:
        if given.get(name) != found.get(name):
            raise ValueError(
                f"{expected}, and {place} has {name}={found.get(name)!r}. "
                f"Received: {name}={given.get(name)!r}"
            )
