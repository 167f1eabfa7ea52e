"""The forms in which a caller gives samples: x, (x, y), (x, y, sample_weight), or batches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kzoo.data.texts import is_pair


class Batch(NamedTuple):
    """Samples x, and the labels y where there are any."""

    x: Any
    y: Any


def read_batches(given: Any, argument: str) -> list[Batch]:
    """Tell samples of one form from an iterable of such.

    Args:
        given: What the caller gave.
        argument: Its name, for messages.

    Returns:
        At least one batch.

    Raises:
        ValueError: If it is neither, or there is none.
    """
    one = isinstance(given, Mapping | tuple | str) or hasattr(given, "shape") or is_texts(given)
    if not one and not isinstance(given, Iterable):
        raise ValueError(expected_forms(argument, given))
    batches = [_split(batch) for batch in ([given] if one else given)]
    if not batches:
        raise ValueError(f"`{argument}` must have at least one sample. Received: none")
    return batches


def is_texts(x: Any) -> bool:
    """Tell whether something is a list of texts, or of pairs of texts, which are tuples.

    Args:
        x: Samples.

    Returns:
        True by its first item.
    """
    if not isinstance(x, Sequence) or isinstance(x, str) or not x:
        return False
    # A tuple of lists is x and y, a list of lists is batches of texts: pairs are tuples.
    is_pairs = isinstance(x, list) and isinstance(x[0], tuple) and is_pair(x[0])
    return isinstance(x[0], str) or is_pairs


def expected_forms(argument: str, given: Any) -> str:
    """Say which samples there can be, and what came instead.

    Args:
        argument: The name of the argument.
        given: What came.

    Returns:
        A message.
    """
    return (
        f"`{argument}` must be a dictionary of arrays, one array for a model with one input, a "
        "list of texts or of pairs of texts, a tuple (x, y) or (x, y, sample_weight) of one of "
        "these and what belongs to it, or an iterable of such batches. "
        f"Received: {type(given).__name__}"
    )


def to_array(value: Any) -> np.ndarray:
    """Turn a list or a tensor of any framework into an array.

    Args:
        value: The values.

    Returns:
        The array.
    """
    if hasattr(value, "detach"):  # PyTorch's, which NumPy reads on the CPU only
        value = value.detach().cpu()
    return np.asarray(value)


def _split(batch: Any) -> Batch:
    """Return x and y of (x,), (x, y) or (x, y, sample_weight), and of x alone."""
    if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
        return Batch(batch, None)
    return Batch(batch[0], batch[1] if len(batch) > 1 else None)
