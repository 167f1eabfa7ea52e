"""Checks of what is calibrated on."""

from collections.abc import Mapping

import numpy as np

# Scales and roundings of fewer calibration samples would be those of chance.
_FEWEST = 8


def check_measured(name: str, *measured: np.ndarray) -> None:
    """Refuse numbers that have no scale.

    Args:
        name: What was measured.
        *measured: Its least and its largest numbers.

    Raises:
        ValueError: If there is NaN or infinity among them.
    """
    if not all(np.isfinite(array).all() for array in measured):
        raise ValueError(
            "`calibration` must give finite numbers everywhere in the model. "
            f"Received: NaN or infinity in {name}"
        )


def enough(calibration: Mapping[str, np.ndarray] | None) -> Mapping[str, np.ndarray]:
    """Refuse to calibrate on too little.

    Args:
        calibration: Samples by input name.

    Returns:
        The same.

    Raises:
        ValueError: If there are none, or too few.
    """
    count = 0 if calibration is None else len(next(iter(calibration.values())))
    if calibration is None or count < _FEWEST:
        raise ValueError(
            f"`calibration` must have at least {_FEWEST} samples for a recipe that calibrates. "
            f"Received: {count}"
        )
    return calibration
