"""Checks of arguments: each error names the argument, what it must be and what came."""

import difflib
import importlib.util
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any


def check_positive_integers(**arguments: Any) -> None:
    """Require every argument to be an integer of at least 1.

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is not a positive integer.
    """
    for name, value in arguments.items():
        if not is_integer(value, least=1):
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_counts(**arguments: Any) -> None:
    """Require every argument to be an integer of at least 0.

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is not such an integer.
    """
    for name, value in arguments.items():
        if not is_integer(value, least=0):
            raise ValueError(
                f"`{name}` must be an integer of at least 0. Received: {name}={value!r}"
            )


def check_positive_numbers(**arguments: Any) -> None:
    """Require every argument to be a number above 0.

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is not a positive number.
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not float(value) > 0:
            raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")


def check_rates(**arguments: Any) -> None:
    """Require every argument to be a dropout rate, in [0, 1).

    Args:
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is outside [0, 1).
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
            raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")


def check_types(kind: type, **arguments: Any) -> None:
    """Require every argument to be of a type, or of NumPy's type of the same name.

    Args:
        kind: `bool` or `str`.
        **arguments: The values, by the name the user knows them by.

    Raises:
        ValueError: If a value is of another type.
    """
    for name, value in arguments.items():
        if not isinstance(value, kind) and type(value).__name__ != kind.__name__:
            raise ValueError(f"`{name}` must be a {kind.__name__}. Received: {name}={value!r}")


def check_choice(choices: Iterable[Any], **arguments: Any) -> None:
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


def check_shape(
    name: str, shape: Iterable[Any], forms: tuple[str, ...], sizes: Mapping[str, Any]
) -> None:
    """Require a tensor to have one of some forms. A batch of 1 is one for all samples.

    Args:
        name: The name the user knows the tensor by.
        shape: Its shape.
        forms: What it may be, a letter for each axis: `("BS", "BTS")`.
        sizes: The size of each axis by its letter, None where it is not known yet.

    Raises:
        ValueError: If the shape is of none of the forms.
    """
    shape = tuple(shape)
    for form in (form for form in forms if len(form) == len(shape)):
        wrong = [axis for axis, size in zip(form, shape, strict=True) if differ(size, sizes[axis])]
        if not wrong or (wrong == ["B"] and shape[0] == 1):
            return
    expected = " or ".join(f"({', '.join(form)})" for form in forms)
    known = ", ".join(f"{axis}={sizes[axis]}" for axis in forms[-1])
    raise ValueError(
        f"`{name}` must have shape {expected}, with {known}. Received: {name}.shape={shape}"
    )


def is_integer(value: Any, least: int) -> bool:
    """Tell integers, of Python or NumPy, from everything else.

    Args:
        value: Anything.
        least: The smallest integer to accept.

    Returns:
        Whether the value is one that is large enough. Truth values are no integers.
    """
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def differ(actual: Any, expected: Any) -> bool:
    """Compare two sizes of which either may be unknown.

    Args:
        actual: A size, None or a tensor.
        expected: A size, None or a tensor.

    Returns:
        Whether both are known and different.
    """
    return isinstance(actual, int) and isinstance(expected, int) and actual != expected


def close_matches(name: str, known: Iterable[str]) -> str:
    """Say what a misspelled name could have meant.

    Args:
        name: The unknown name.
        known: The names that exist.

    Returns:
        A sentence that names the closest names, or all of them.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, cutoff=0.5)
    return f"Did you mean: {', '.join(close)}?" if close else f"Known: {', '.join(known)}."


def require_packages(packages: Iterable[str], extra: str, purpose: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        packages: Importable names.
        extra: The extra of `kzoo` that installs them.
        purpose: What they are needed for, for the message.

    Raises:
        ImportError: If one is missing; the message names the extra.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{purpose[0].upper()}{purpose[1:]} needs {', '.join(missing)}, not installed here. "
            f'Install it with: pip install "kzoo[{extra}]"'
        )
