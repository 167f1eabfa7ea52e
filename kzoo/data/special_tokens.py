"""The special tokens by the names that `tokenizer_config.json` has for them."""

from collections.abc import Mapping
from typing import Any

SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def content_of(token: str | Mapping[str, Any]) -> str:
    """Read the text of a special token.

    Args:
        token: The text or, as some files have it, a record of the text and how it is stripped.

    Returns:
        The text.
    """
    return token if isinstance(token, str) else token["content"]
