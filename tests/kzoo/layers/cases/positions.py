"""Cases of positions."""

from functools import partial

from kzoo.layers import LearnedPositions, SinusoidalPositions
from tests.kzoo.layers.cases.case import HIDDEN, Case, T
from tests.reference import positions as reference

CASES = {
    "sinusoidal_positions": Case(
        SinusoidalPositions, {}, {"hidden": HIDDEN}, reference.sinusoidal_positions
    ),
    "sinusoidal_positions_short": Case(
        SinusoidalPositions,
        {"max_wavelength": 50.0},
        {"hidden": HIDDEN},
        partial(reference.sinusoidal_positions, max_wavelength=50.0),
    ),
    "learned_positions": Case(
        LearnedPositions, {"max_length": T + 2}, {"hidden": HIDDEN}, reference.learned_positions
    ),
}
