"""Checks of constructor arguments: each error names the argument, what it must be and what came."""

from collections.abc import Iterable
from typing import Any


def check_positive_integers(**arguments: Any) -> None:
    """Require every argument to be an integer of at least 1.

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is not a positive integer.
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_positive_numbers(**arguments: Any) -> None:
    """Require every argument to be a number above 0.

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is not a positive number.
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")


def check_rates(**arguments: Any) -> None:
    """Require every argument to be a dropout rate, in [0, 1).

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is outside [0, 1).
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")


def check_choice(choices: Iterable[str], **arguments: Any) -> None:
    """Require every argument to be one of the choices.

    Args:
        choices: The accepted values.
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is not among the choices.
    """
    for name, value in arguments.items():
        if value not in choices:
            expected = ", ".join(repr(choice) for choice in choices)
            raise ValueError(f"`{name}` must be one of {expected}. Received: {name}={value!r}")
