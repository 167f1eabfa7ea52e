"""The special tokens by the names that `tokenizer_config.json` has, and where they are put."""

from collections.abc import Mapping
from typing import Any

from tokenizers import processors

Token = tuple[str, int]

BERT: dict[str, Any] = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "model_max_length": 512,
}
ROBERTA: dict[str, Any] = {
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
    "model_input_names": ["input_ids", "attention_mask"],
    "model_max_length": 512,
}
SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def content_of(token: str | Mapping[str, Any]) -> str:
    """Read the text of a special token.

    Args:
        token: The text or, as some files have it, a record of the text and how it is stripped.

    Returns:
        The text.
    """
    return token if isinstance(token, str) else token["content"]


def around_texts(cls: Token, sep: Token) -> Any:
    """Return what puts special tokens around texts in the way of BERT.

    Args:
        cls: The token that begins a text, and its id.
        sep: The token that ends a text, and its id.

    Returns:
        A post-processor of `tokenizers`.
    """
    return processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )
