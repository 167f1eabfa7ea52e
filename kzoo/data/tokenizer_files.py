"""The files of a tokenizer in the Hugging Face layout."""

import json
import pathlib
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import tokenizers

from kzoo.arguments import is_integer

# Files of the Hugging Face layout.
FAST, VOCABULARY, CONFIG = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
_SPECIAL_MAP, _ADDED = "special_tokens_map.json", "added_tokens.json"
DEFAULTS: dict[str, Any] = {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": True,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "model_max_length": 512,
}
# What `tokenizer_config.json` calls the settings of BERT's normalizer.
_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
_SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def read_tokenizer(folder: pathlib.Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Read a tokenizer and its settings.

    Args:
        folder: A folder in the Hugging Face layout.

    Returns:
        The tokenizer, and the content of `tokenizer_config.json` with the special tokens that
        `special_tokens_map.json` alone names.

    Raises:
        ValueError: If the folder has no tokenizer, or a file is damaged.
    """
    named = _read_config(folder / _SPECIAL_MAP)
    config = {name: named[name] for name in _SPECIAL if name in named}
    config |= _read_config(folder / CONFIG)
    fast = folder / FAST
    if not fast.is_file():
        return _word_piece(folder, {**DEFAULTS, **config}), config
    try:
        backend = tokenizers.Tokenizer.from_file(str(fast))
    except Exception as error:  # The library raises nothing more specific.
        raise ValueError(f"The tokenizer cannot be read ({error}). Received: {fast}") from error
    _obey(backend, config)
    return backend, config


def content_of(token: str | Mapping[str, Any]) -> str:
    """Read the text of a special token.

    Args:
        token: The text or, as some files have it, a record of the text and how it is stripped.

    Returns:
        The text.
    """
    return token if isinstance(token, str) else token["content"]


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"The file is not valid JSON ({error}). Received: {path}") from error
    if not isinstance(config, dict):
        raise ValueError(f"The file must contain a JSON object. Received: {path}")
    return config


def _word_piece(folder: pathlib.Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    path = folder / VOCABULARY
    if not path.is_file():
        raise ValueError(f"The folder must contain {FAST} or {VOCABULARY}. Received: {folder}")
    special = {name: content_of(config[name]) for name in _SPECIAL}
    with path.open(encoding="utf-8") as lines:
        ids = {line.rstrip("\n"): index for index, line in enumerate(lines)}
    missing = [token for token in special.values() if token not in ids]
    if missing:
        raise ValueError(
            f"The vocabulary must contain the special tokens {', '.join(missing)}. Received: {path}"
        )
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token=special["unk_token"]))
    backend.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=config["do_lower_case"],
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    cls, sep = special["cls_token"], special["sep_token"]
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, ids[cls]), (sep, ids[sep])],
    )
    backend.decoder = tokenizers.decoders.WordPiece()
    backend.add_special_tokens(list(special.values()))
    _add_tokens(backend, folder / _ADDED)
    return backend


def _add_tokens(backend: tokenizers.Tokenizer, path: pathlib.Path) -> None:
    """Add the tokens that a slow tokenizer keeps beside its vocabulary, by id."""
    added = _read_config(path)
    if not all(is_integer(number, least=0) for number in added.values()):
        raise ValueError(f"The file must have the id of each token. Received: {path}")
    for token, number in sorted(added.items(), key=itemgetter(1)):
        size = backend.get_vocab_size(with_added_tokens=True)
        if backend.token_to_id(token) is None and number == size:
            backend.add_tokens([tokenizers.AddedToken(token, normalized=True)])
        if backend.token_to_id(token) != number:
            raise ValueError(
                f"The file must number its tokens as the vocabulary does, new ones from {size} "
                f"on. Received: {token!r} with {number!r} in {path}"
            )


def _obey(backend: tokenizers.Tokenizer, config: Mapping[str, Any]) -> None:
    """Normalize texts as `tokenizer_config.json` says, where `tokenizer.json` says otherwise."""
    normalizer = backend.normalizer
    if isinstance(normalizer, tokenizers.normalizers.BertNormalizer):
        for name, attribute in _NORMALIZER.items():
            if name in config:
                setattr(normalizer, attribute, config[name])
