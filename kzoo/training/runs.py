"""Folders that training writes into."""

import pathlib
import shutil
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
