"""Texts to the arrays that a model reads."""

import os
import pathlib
from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import tokenizers

from kzoo.arguments import check_choice, is_integer
from kzoo.data.special_tokens import SPECIAL, content_of
from kzoo.data.texts import as_texts
from kzoo.data.tokenizer_files import (
    CONFIG,
    FAST,
    WORD_PIECE,
    is_tokenizer,
    read_tokenizer,
    with_defaults,
)
from kzoo.json_file import write_json

# The arrays, in their order, by what Hugging Face calls them.
_ARRAYS = {
    "input_ids": "token_ids",
    "token_type_ids": "segment_ids",
    "attention_mask": "padding_mask",
}
_SIDES = ("right", "left")


class Tokenizer:
    """Turns texts, or pairs of texts, into `token_ids`, `segment_ids` and `padding_mask`.

    Of these it makes what its model reads: `inputs`. The settings `padding_side`,
    `truncation_side`, `model_max_length` and `model_input_names` of its configuration are obeyed.
    Holds no state between calls, so one tokenizer may serve several threads.

    Args:
        backend: A `tokenizers.Tokenizer` whose post-processor adds the special tokens.
        config: The content of `tokenizer_config.json`.

    Raises:
        ValueError: If the vocabulary has no padding token, or a setting is unknown.

    Example:
        >>> tokenizer = Tokenizer.from_folder("a_folder_with_vocab_txt")  # doctest: +SKIP
        >>> tokenizer(["a text", "another"], length=8)["token_ids"].shape  # doctest: +SKIP
        (2, 8)
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, config: Mapping[str, Any] | None = None
    ) -> None:
        self.config = with_defaults(backend, config)
        # Both would be applied a second time, with the length of whoever saved the file.
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.padding_side = self.config.get("padding_side", "right")
        self.truncation_side = self.config.get("truncation_side", "right")
        check_choice(_SIDES, padding_side=self.padding_side)
        check_choice(_SIDES, truncation_side=self.truncation_side)
        pad_id = self._find("pad_token")
        if pad_id is None:
            token = content_of(self.config["pad_token"])
            raise ValueError(f"The vocabulary must contain the padding token. Received: {token!r}")
        self.pad_id = pad_id

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Tokenizer":
        """Read a tokenizer.

        Args:
            folder: A folder in the Hugging Face layout: with `tokenizer.json`, with `vocab.txt` as
                BERT has it, with `vocab.json` and `merges.txt` as RoBERTa has them, or with a
                Unigram model of SentencePiece as XLM-RoBERTa and ALBERT have it.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If the folder has none of these, or a file is damaged.
        """
        return cls(*read_tokenizer(pathlib.Path(folder)))

    @staticmethod
    def is_in(folder: str | os.PathLike[str]) -> bool:
        """Look for what `from_folder` reads.

        Args:
            folder: A folder.

        Returns:
            Whether the files of a tokenizer are there.
        """
        return is_tokenizer(pathlib.Path(folder))

    def for_inputs(self, names: Collection[str]) -> "Tokenizer":
        """Make the arrays that a model reads, and no other.

        Args:
            names: Names of the inputs of the model.

        Returns:
            This tokenizer where it does so, else another one on the same vocabulary.
        """
        wanted = [theirs for theirs, ours in _ARRAYS.items() if ours in names]
        if not wanted or [_ARRAYS[name] for name in wanted] == list(self.inputs):
            return self
        return Tokenizer(self.backend, {**self.config, "model_input_names": wanted})

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the arrays that it makes."""
        names = self.config.get("model_input_names", _ARRAYS)
        return tuple(ours for theirs, ours in _ARRAYS.items() if theirs in names)

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids of all special tokens: those that no text is made of."""
        added = self.backend.get_added_tokens_decoder()
        named = (self._find(name) for name in SPECIAL)
        return frozenset(
            [number for number in named if number is not None]
            + [number for number, token in added.items() if token.special]
        )

    @property
    def mask_id(self) -> int | None:
        """The id of the token that hides another one, or `None` where there is none."""
        return self._find("mask_token")

    @property
    def cls_id(self) -> int | None:
        """The id of the token that begins a text, or `None` where there is none."""
        return self._find("cls_token")

    @property
    def sep_id(self) -> int | None:
        """The id of the token that ends a text, or `None` where there is none."""
        return self._find("sep_token")

    @property
    def unk_id(self) -> int | None:
        """The id of the token for what is not in the vocabulary, or `None`."""
        return self._find("unk_token")

    @property
    def vocab_size(self) -> int:
        """Number of token ids, the special ones included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens in the order of their ids, the special ones included."""
        ids = self.backend.get_vocab(with_added_tokens=True)
        return tuple(token for token, _ in sorted(ids.items(), key=itemgetter(1)))

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the model of this tokenizer takes, where that is known."""
        length = self.config["model_max_length"]
        return length if isinstance(length, int) and length < 1 << 30 else None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and the files of the vocabulary.

        Args:
            folder: Where to; made if it does not exist.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAST).write_text(self.backend.to_str(), "utf-8")
        write_json(folder / CONFIG, self.config)
        if not isinstance(self.backend.model, tokenizers.models.WordPiece):
            self.backend.model.save(str(folder))
            return
        text = "".join(f"{token}\n" for token in self.tokens)
        (folder / WORD_PIECE).write_text(text, "utf-8", newline="\n")

    def __call__(
        self,
        texts: Iterable[str],
        pairs: Iterable[str] | None = None,
        length: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Turn texts into arrays.

        What is too long loses tokens at the end, or where `truncation_side` says, of a pair the
        longer text first.

        Args:
            texts: The texts, B of them: a list, a tuple, a NumPy array or a column of pandas.
            pairs: A second text for each of the first.
            length: Length of the rows, T. By default the longest text's, at most `max_length`.

        Returns:
            The arrays of `inputs`, each int32 (B, T); the mask has 1 at real tokens.

        Raises:
            ValueError: If the texts are not a non-empty list of strings, `pairs` has another
                length, or `length` leaves no room for the special tokens and one more.
        """
        texts = as_texts("texts", texts)
        if pairs is not None:
            pairs = as_texts("pairs", pairs)
            if len(pairs) != len(texts):
                raise ValueError(
                    "`pairs` must have one text for each of `texts`. "
                    f"Received: {len(pairs)} pairs, {len(texts)} texts"
                )
        special = self.backend.num_special_tokens_to_add(pairs is not None)
        if length is not None and not is_integer(length, least=special + 1):
            raise ValueError(
                f"`length` must be an integer of at least {special + 1}: {special} special tokens "
                f"and one of the text. Received: length={length!r}"
            )
        limit = length or self.max_length
        rows = self._encode(texts, pairs, limit - special if limit else None)
        return self._to_arrays(rows, length or max(map(len, rows)))

    def _encode(
        self, texts: list[str], pairs: list[str] | None, room: int | None
    ) -> list[tokenizers.Encoding]:
        side = self.truncation_side
        firsts = self.backend.encode_batch(texts, add_special_tokens=False)
        if pairs is None:
            for first in firsts:
                _truncate(first, room, side)
            return [self.backend.post_process(first) for first in firsts]
        seconds = self.backend.encode_batch(pairs, add_special_tokens=False)
        for first, second in zip(firsts, seconds, strict=True):
            _truncate_pair(first, second, room, side)
        return [
            self.backend.post_process(first, second)
            for first, second in zip(firsts, seconds, strict=True)
        ]

    def _to_arrays(self, rows: list[tokenizers.Encoding], length: int) -> dict[str, np.ndarray]:
        shape = (len(rows), length)
        arrays = {name: np.zeros(shape, "int32") for name in _ARRAYS.values()}
        arrays["token_ids"][:] = self.pad_id
        for index, row in enumerate(rows):
            start = length - len(row) if self.padding_side == "left" else 0
            real = slice(start, start + len(row))
            arrays["token_ids"][index, real] = row.ids
            arrays["segment_ids"][index, real] = row.type_ids
            arrays["padding_mask"][index, real] = 1
        return {name: arrays[name] for name in self.inputs}

    def _find(self, name: str) -> int | None:
        """Return the id of a special token, or `None` where the vocabulary has none."""
        token = self.config.get(name)
        found: int | None = None if token is None else self.backend.token_to_id(content_of(token))
        return found


def _truncate(row: tokenizers.Encoding, room: int | None, side: str) -> None:
    if room is not None and len(row) > room:
        row.truncate(room, direction=side)


def _truncate_pair(
    first: tokenizers.Encoding, second: tokenizers.Encoding, room: int | None, side: str
) -> None:
    if room is None or len(first) + len(second) <= room:
        return
    # The shorter text keeps up to half of the room, the longer one the rest.
    shorter, longer = (second, first) if len(first) > len(second) else (first, second)
    kept = min(len(shorter), room // 2)
    _truncate(shorter, kept, side)
    _truncate(longer, room - kept, side)
