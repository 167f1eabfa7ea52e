"""Which samples verify a file and which calibrate it: never the same ones."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kzoo_export.samples import Reader, Samples


def choose_samples(
    reader: Reader, samples: Any, calibration: Any, calibrates: bool
) -> tuple[Samples, Samples | None]:
    """Decide what verifies and what calibrates; the two never share a row of one source.

    Args:
        reader: Reads what is given.
        samples: What the caller gave to verify on, or `None`.
        calibration: What the caller gave to calibrate on, or `None`.
        calibrates: Whether any recipe calibrates.

    Returns:
        The samples that verify and those that calibrate, `None` where nothing calibrates.
    """
    given = None if samples is None else reader.read(samples, "samples")
    calibrating = None if calibration is None else reader.read(calibration, "calibration")
    if not calibrates:
        return given or calibrating or reader.default(), None
    if given is None or calibrating is None:
        # Random numbers cost nothing, and ranges need many.
        count = 2 if reader.tokenizer is not None else 8
        given, calibrating = split(given or calibrating or reader.default(count), reader.seed)
    masks = [name for name, kind in reader.kinds.items() if kind == "mask"]
    return given, _checked(calibrating, given, masks)


def _checked(calibrating: Samples, verifying: Samples, masks: Sequence[str]) -> Samples:
    """Refuse samples that say nothing of ranges, and say of how many the same is verified."""
    rows = _rows(calibrating)
    if len(rows) > 1 and len(set(rows)) == 1:
        raise ValueError(
            "`calibration` must have different samples: ranges are found on them. "
            f"Received: {len(rows)} equal rows"
        )
    empty = sum(
        not any(calibrating.arrays[name][row].any() for name in masks) for row in range(len(rows))
    )
    if masks and empty:
        raise ValueError(
            "`calibration` must have something besides padding in every row. "
            f"Received: {empty} of {len(rows)} rows that are padding alone"
        )
    shared = len(set(rows) & set(_rows(verifying)))
    if not shared:
        return calibrating
    said = f"{calibrating.source}, {shared} of which also verify"
    return dataclasses.replace(calibrating, source=said)


def _rows(samples: Samples) -> list[bytes]:
    """Hash each row."""
    rows = [hashlib.blake2b() for _ in range(len(samples))]
    for array in samples.arrays.values():
        for row, hashed in enumerate(rows):
            hashed.update(array[row].tobytes())
    return [hashed.digest() for hashed in rows]


def split(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """Cut samples in two halves that share no row.

    Args:
        samples: At least two rows.
        seed: Decides which rows go where.

    Returns:
        The half that verifies and the half that calibrates.

    Raises:
        ValueError: If there is only one row.
    """
    if len(samples) < 2:
        raise ValueError(
            "`samples` must have at least two rows for a recipe that calibrates, or `calibration` "
            f"must be given as well. Received: {len(samples)} row"
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    half = len(samples) // 2
    parts = np.sort(order[half:]), np.sort(order[:half])
    label = f"of {samples.source}, split with seed {seed}"
    verifying, calibrating = (samples.take(part, f"{len(part)} {label}") for part in parts)
    return verifying, calibrating
