"""Texts to the three arrays that a BERT reads."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import tokenizers

from kzoo.arguments import is_integer
from kzoo.data.tokenizer_files import (
    CONFIG,
    DEFAULTS,
    FAST,
    VOCABULARY,
    content_of,
    read_tokenizer,
)


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
        self.config = {**DEFAULTS, **(config or {})}
        # Both would be applied a second time, with the length of whoever saved the file.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        token = content_of(self.config["pad_token"])
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
        return cls(*read_tokenizer(pathlib.Path(folder)))

    @staticmethod
    def is_in(folder: str | os.PathLike[str]) -> bool:
        """Look for what `from_folder` reads.

        Args:
            folder: A folder.

        Returns:
            Whether one of the files is there.
        """
        return any(pathlib.Path(folder, name).is_file() for name in (FAST, VOCABULARY))

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
        (folder / FAST).write_text(self._backend.to_str(), "utf-8")
        (folder / CONFIG).write_text(json.dumps(self.config, indent=2) + "\n", "utf-8")
        by_id = sorted(self._backend.get_vocab(with_added_tokens=True).items(), key=itemgetter(1))
        text = "".join(f"{token}\n" for token, _ in by_id)
        (folder / VOCABULARY).write_text(text, "utf-8", newline="\n")

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
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"`{name}` must be whole characters. Received: {name}[{index}] with half a "
                f"surrogate pair at {error.start}: {text!r}"
            ) from error
