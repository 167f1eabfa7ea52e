"""What is accepted as texts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


def as_texts(name: str, texts: Any) -> list[str]:
    """Require a sequence of texts that can be encoded.

    Args:
        name: What the user knows it by.
        texts: A list, a tuple, a NumPy array or a column of pandas.

    Returns:
        The texts.

    Raises:
        ValueError: If it is none of these, is empty, or has anything else in it; the message names
            the first such item by its index.
    """
    ordered = hasattr(texts, "__getitem__") and hasattr(texts, "__len__")
    # A table would be read as the names of its columns.
    if isinstance(texts, str | bytes | Mapping) or not ordered or getattr(texts, "ndim", 1) != 1:
        raise ValueError(
            f"`{name}` must be a list of strings. Received: {name} of type {type(texts).__name__}"
        )
    texts = list(texts)
    if not texts:
        raise ValueError(f"`{name}` must not be empty. Received: {name}={texts!r}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"`{name}` must be a list of strings. "
                f"Received: {name}[{index}] of type {type(text).__name__}"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"`{name}` must be whole characters. Received: {name}[{index}] with half a "
                f"surrogate pair at {error.start}: {text!r}"
            ) from error
    return [str(text) for text in texts]


class Texts(NamedTuple):
    """Texts, and a second one for each where they are pairs."""

    first: list[str]
    second: list[str] | None

    def tokenize(self, tokenizer: Any, length: int) -> dict[str, np.ndarray]:
        """Turn the texts into the inputs of a model, each (B, length)."""
        return tokenizer(self.first, self.second, length=length)


def is_text(x: Any) -> bool:
    """Tell whether something is texts or pairs of texts, rather than arrays of a model.

    Args:
        x: What `fit` was called with.

    Returns:
        True for a list, a tuple, an array or a column whose first item is a text, or a pair.
    """
    if isinstance(x, str | Mapping) or not hasattr(x, "__getitem__") or not hasattr(x, "__len__"):
        return isinstance(x, str)
    first = next(iter(x), None) if len(x) else None
    return isinstance(first, str) or is_pair(first)


def read_texts(name: str, x: Any) -> Texts:
    """Require texts, or pairs of texts, none of them empty.

    Args:
        name: What the user knows them by.
        x: The texts.

    Returns:
        The texts.

    Raises:
        ValueError: If something else is among them; the message names it by its index.
    """
    if isinstance(x, str) or not is_pair(next(iter(x), None)):
        found = Texts(as_texts(name, x), None)
    else:
        lone = next((index for index, each in enumerate(x) if not is_pair(each)), None)
        if lone is not None:
            raise ValueError(
                f"`{name}` must be texts alone or pairs of texts alone. "
                f"Received: {name}[0] a pair, {name}[{lone}]={x[lone]!r}"
            )
        found = Texts(*(as_texts(name, [each[part] for each in x]) for part in (0, 1)))
    for texts in found:
        for index, text in enumerate(texts or ()):
            if not text.strip():
                raise ValueError(
                    f"`{name}` must not have empty texts. Received: {name}[{index}]={text!r}"
                )
    return found


def is_pair(item: Any) -> bool:
    """Tell whether something is two texts.

    Args:
        item: An item of a list.

    Returns:
        Whether it is.
    """
    is_two = isinstance(item, tuple | list) and len(item) == 2
    return is_two and all(isinstance(part, str) for part in item)
