"""What is accepted as texts."""

from collections.abc import Mapping
from typing import Any


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
