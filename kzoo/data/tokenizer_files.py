"""The files of a tokenizer in the Hugging Face layout."""

import pathlib
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from kzoo.arguments import is_integer
from kzoo.data import sentencepiece_model
from kzoo.data.special_tokens import BERT, ROBERTA, SPECIAL, around_texts, content_of
from kzoo.json_file import read_json_object

# Files of the Hugging Face layout.
FAST, CONFIG = "tokenizer.json", "tokenizer_config.json"
WORD_PIECE = "vocab.txt"
BYTE_PAIR = ("vocab.json", "merges.txt")
SENTENCEPIECE = sentencepiece_model.FILES
_SPECIAL_MAP, _ADDED = "special_tokens_map.json", "added_tokens.json"
FILES = (FAST, CONFIG, WORD_PIECE, *BYTE_PAIR, *SENTENCEPIECE, _SPECIAL_MAP, _ADDED)

_BERT = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **BERT}
_ROBERTA = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, **ROBERTA}
# What `tokenizer_config.json` calls the settings of BERT's normalizer.
_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def is_tokenizer(folder: pathlib.Path) -> bool:
    """Look for what `read_tokenizer` reads.

    Args:
        folder: A folder.

    Returns:
        Whether the files of one of the kinds are there.
    """
    kinds = ((FAST,), (WORD_PIECE,), BYTE_PAIR, *((name,) for name in SENTENCEPIECE))
    return any(all((folder / name).is_file() for name in kind) for kind in kinds)


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
    named = _read_if_there(folder / _SPECIAL_MAP)
    config = {name: named[name] for name in SPECIAL if name in named}
    config |= _read_if_there(folder / CONFIG)
    if (folder / FAST).is_file():
        return _fast(folder / FAST, config), config
    if (folder / WORD_PIECE).is_file():
        backend = _slow(folder / WORD_PIECE, _word_piece, config)
    elif all((folder / name).is_file() for name in BYTE_PAIR):
        backend = _slow(folder / BYTE_PAIR[0], _byte_pair, config)
    elif pieces := [folder / name for name in SENTENCEPIECE if (folder / name).is_file()]:
        family = _read_if_there(folder / "config.json").get("model_type")
        backend, config = sentencepiece_model.build(pieces[0], config, family)
    else:
        raise ValueError(
            f"The folder must contain {FAST}, {WORD_PIECE}, {' and '.join(BYTE_PAIR)}, or one of "
            f"{', '.join(SENTENCEPIECE)}. Received: {folder}"
        )
    _add_tokens(backend, folder / _ADDED)
    return backend, config


def with_defaults(
    backend: tokenizers.Tokenizer, config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Complete the settings of a tokenizer by what its kind of vocabulary implies.

    Args:
        backend: The tokenizer.
        config: The content of `tokenizer_config.json`.

    Returns:
        The settings: those of BERT or, for byte pairs, of RoBERTa, where the file has none.
    """
    return {**(_ROBERTA if isinstance(backend.model, models.BPE) else _BERT), **(config or {})}


def _read_if_there(path: pathlib.Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _fast(path: pathlib.Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Read `tokenizer.json`; settings that `tokenizer_config.json` has too are the latter's."""
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises nothing more specific.
        raise ValueError(f"The tokenizer cannot be read ({error}). Received: {path}") from error
    if isinstance(backend.normalizer, normalizers.BertNormalizer):
        for name, attribute in _NORMALIZER.items():
            if name in config:
                setattr(backend.normalizer, attribute, config[name])
    if isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel) and "add_prefix_space" in config:
        backend.pre_tokenizer.add_prefix_space = config["add_prefix_space"]
    if backend.post_processor is None:
        _add_special_tokens(backend, with_defaults(backend, config), path)
    return backend


def _slow(
    path: pathlib.Path,
    build: Callable[[pathlib.Path, Mapping[str, Any]], tokenizers.Tokenizer],
    config: Mapping[str, Any],
) -> tokenizers.Tokenizer:
    """Build a tokenizer from its vocabulary, and tell it the special tokens."""
    backend = build(path, config)
    settings = with_defaults(backend, config)
    _add_special_tokens(backend, settings, path)
    backend.add_special_tokens([content_of(settings[name]) for name in SPECIAL])
    return backend


def _word_piece(path: pathlib.Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    with path.open(encoding="utf-8") as lines:
        ids = {line.rstrip("\n"): index for index, line in enumerate(lines)}
    settings = {**_BERT, **config}
    unknown = content_of(settings["unk_token"])
    backend = tokenizers.Tokenizer(models.WordPiece(ids, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=settings["do_lower_case"],
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def _byte_pair(path: pathlib.Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    merges = path.parent / BYTE_PAIR[1]
    try:
        model = models.BPE.from_file(str(path), str(merges))
    except Exception as error:  # The library raises nothing more specific.
        raise ValueError(
            f"The tokenizer cannot be read ({error}). Received: {path} and {merges}"
        ) from error
    backend = tokenizers.Tokenizer(model)
    space = {**_ROBERTA, **config}["add_prefix_space"]
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    backend.decoder = decoders.ByteLevel()
    return backend


def _add_special_tokens(
    backend: tokenizers.Tokenizer, settings: Mapping[str, Any], path: pathlib.Path
) -> None:
    """Have special tokens put around texts, in the way of BERT or RoBERTa."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    special = {name: content_of(settings[name]) for name in SPECIAL}
    missing = [token for token in special.values() if token not in vocabulary]
    if missing:
        raise ValueError(
            f"The vocabulary must contain the special tokens {', '.join(missing)}. Received: {path}"
        )
    cls, sep = ((special[name], vocabulary[special[name]]) for name in ("cls_token", "sep_token"))
    if isinstance(backend.model, models.BPE):
        backend.post_processor = processors.RobertaProcessing(sep, cls)
        return
    backend.post_processor = around_texts(cls, sep)


def _add_tokens(backend: tokenizers.Tokenizer, path: pathlib.Path) -> None:
    """Add the tokens that a slow tokenizer keeps beside its vocabulary, by id."""
    added = _read_if_there(path)
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
