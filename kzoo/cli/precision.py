"""The precision that a command trains in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Weights in bfloat16 alone would never change: a step is less than half of their last digit.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@contextmanager
def made_in(precision: str) -> Iterator[None]:
    """Have new layers made for a precision.

    Args:
        precision: One of `PRECISIONS`.

    Yields:
        While it is so.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_precision(model: Any, source: str, precision: str) -> None:
    """Require a loaded model to be of a precision: a `.keras` file has its own.

    Args:
        model: The model.
        source: What it was loaded from.
        precision: The precision that was asked for.

    Raises:
        ValueError: If it is of another.
    """
    if model.dtype_policy.name != precision:
        raise ValueError(
            f"`precision` must be {model.dtype_policy.name!r}, as in {source}. "
            f"Received: precision={precision!r}"
        )
