"""Texts to the three arrays that a BERT reads."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers

from kzoo.arguments import is_integer

# Files of the Hugging Face layout.
_FAST, _VOCABULARY, _CONFIG = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
_DEFAULTS: dict[str, Any] = {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": True,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "model_max_length": 512,
}
_SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


class Tokenizer:
    """Turns texts, or pairs of texts, into `token_ids`, `segment_ids` and `padding_mask`.

    Holds no state between calls, so one tokenizer may serve several threads.

    Args:
        backend: A `tokenizers.Tokenizer` whose post-processor adds the special tokens.
        config: The content of `tokenizer_config.json`.

    Raises:
        ValueError: If the vocabulary has no padding token.

    Example:
        >>> tokenizer = Tokenizer.from_folder("a_folder_with_vocab_txt")  # doctest: +SKIP
        >>> tokenizer(["a text", "another"], length=8)["token_ids"].shape  # doctest: +SKIP
        (2, 8)
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, config: Mapping[str, Any] | None = None
    ) -> None:
        self.config = {**_DEFAULTS, **(config or {})}
        # Both would be applied a second time, with the length of whoever saved the file.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        token = _content(self.config["pad_token"])
        pad_id = backend.token_to_id(token)
        if pad_id is None:
            raise ValueError(f"The vocabulary must contain the padding token. Received: {token!r}")
        self.pad_id = pad_id

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Tokenizer":
        """Read a tokenizer from `tokenizer.json`, or from `vocab.txt` as BERT reads it.

        Args:
            folder: A folder in the Hugging Face layout.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If the folder has neither file, or a file is damaged.
        """
        folder = pathlib.Path(folder)
        config = _read_config(folder / _CONFIG)
        fast = folder / _FAST
        if not fast.is_file():
            return cls(_word_piece(folder, {**_DEFAULTS, **config}), config)
        try:
            backend = tokenizers.Tokenizer.from_file(str(fast))
        except Exception as error:  # The library raises nothing more specific.
            raise ValueError(f"The tokenizer cannot be read ({error}). Received: {fast}") from error
        return cls(backend, config)

    @staticmethod
    def is_in(folder: str | os.PathLike[str]) -> bool:
        """Look for what `from_folder` reads.

        Args:
            folder: A folder.

        Returns:
            Whether one of the files is there.
        """
        return any(pathlib.Path(folder, name).is_file() for name in (_FAST, _VOCABULARY))

    @property
    def vocab_size(self) -> int:
        """Number of token ids, the special ones included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the model of this tokenizer takes, where that is known."""
        length = self.config["model_max_length"]
        return length if isinstance(length, int) and length < 1 << 30 else None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and `vocab.txt`.

        Args:
            folder: Where to; made if it does not exist.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FAST).write_text(self._backend.to_str(), "utf-8")
        (folder / _CONFIG).write_text(json.dumps(self.config, indent=2) + "\n", "utf-8")
        by_id = sorted(self._backend.get_vocab(with_added_tokens=True).items(), key=_second)
        text = "".join(f"{token}\n" for token, _ in by_id)
        (folder / _VOCABULARY).write_text(text, "utf-8", newline="\n")

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        length: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Turn texts into arrays.

        What is too long loses tokens at the end, of a pair the longer text first.

        Args:
            texts: The texts, B of them.
            pairs: A second text for each of the first.
            length: Length of the rows, T. By default the longest text's, at most `max_length`.

        Returns:
            `token_ids`, `segment_ids` and `padding_mask`, each int32 (B, T); the mask has 1 at real
            tokens.

        Raises:
            ValueError: If the texts are not a non-empty list of strings, `pairs` has another
                length, or `length` leaves no room for the special tokens and one more.
        """
        _check_texts("texts", texts)
        if pairs is not None:
            _check_texts("pairs", pairs)
            if len(pairs) != len(texts):
                raise ValueError(
                    "`pairs` must have one text for each of `texts`. "
                    f"Received: {len(pairs)} pairs, {len(texts)} texts"
                )
        special = self._backend.num_special_tokens_to_add(pairs is not None)
        if length is not None and not is_integer(length, least=special + 1):
            raise ValueError(
                f"`length` must be an integer of at least {special + 1}: {special} special tokens "
                f"and one of the text. Received: length={length!r}"
            )
        limit = length or self.max_length
        rows = self._encode(texts, pairs, limit - special if limit else None)
        return self._to_arrays(rows, length or max(map(len, rows)))

    def _encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None, room: int | None
    ) -> list[tokenizers.Encoding]:
        firsts = self._backend.encode_batch(list(texts), add_special_tokens=False)
        if pairs is None:
            for first in firsts:
                _truncate(first, room)
            return [self._backend.post_process(first) for first in firsts]
        seconds = self._backend.encode_batch(list(pairs), add_special_tokens=False)
        for first, second in zip(firsts, seconds, strict=True):
            _truncate_pair(first, second, room)
        return [
            self._backend.post_process(first, second)
            for first, second in zip(firsts, seconds, strict=True)
        ]

    def _to_arrays(self, rows: list[tokenizers.Encoding], length: int) -> dict[str, np.ndarray]:
        shape = (len(rows), length)
        token_ids = np.full(shape, self.pad_id, "int32")
        segment_ids = np.zeros(shape, "int32")
        padding_mask = np.zeros(shape, "int32")
        for index, row in enumerate(rows):
            token_ids[index, : len(row)] = row.ids
            segment_ids[index, : len(row)] = row.type_ids
            padding_mask[index, : len(row)] = 1
        return {"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": padding_mask}


def _truncate(row: tokenizers.Encoding, room: int | None) -> None:
    if room is not None and len(row) > room:
        row.truncate(room)


def _truncate_pair(
    first: tokenizers.Encoding, second: tokenizers.Encoding, room: int | None
) -> None:
    if room is None or len(first) + len(second) <= room:
        return
    # The shorter text keeps up to half of the room, the longer one the rest.
    shorter, longer = (second, first) if len(first) > len(second) else (first, second)
    kept = min(len(shorter), room // 2)
    _truncate(shorter, kept)
    _truncate(longer, room - kept)


def _check_texts(name: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise ValueError(
            f"`{name}` must be a list of strings. Received: {name} of type {type(texts).__name__}"
        )
    if not texts:
        raise ValueError(f"`{name}` must not be empty. Received: {name}={texts!r}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"`{name}` must be a list of strings. "
                f"Received: {name}[{index}] of type {type(text).__name__}"
            )


def _second(item: tuple[str, int]) -> int:
    return item[1]


def _content(token: str | Mapping[str, Any]) -> str:
    # Older files spell a token as a record of its text and how it is stripped.
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
    path = folder / _VOCABULARY
    if not path.is_file():
        raise ValueError(f"The folder must contain {_FAST} or {_VOCABULARY}. Received: {folder}")
    special = {name: _content(config[name]) for name in _SPECIAL}
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
    return backend
