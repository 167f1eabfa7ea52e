"""SentencePiece's Unigram models, as `transformers` reads them for each kind of tokenizer."""

import dataclasses
import pathlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from kzoo.data.special_tokens import BERT, ROBERTA, SPECIAL, Token, around_texts, content_of

FILES = ("sentencepiece.bpe.model", "spiece.model", "spm.model")
_SPACE = "\u2581"  # what SentencePiece writes for a space

# Numbers of fields and values in sentencepiece_model.proto.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE = 1, 2
_ALGORITHM, _UNIGRAM, _UNKNOWN_ID = 3, 1, 40
_CHARACTERS = 2

Piece = tuple[str, float]


@dataclasses.dataclass(frozen=True)
class Model:
    """The pieces with their scores, the id of the unknown one, and how characters are mapped."""

    pieces: list[Piece]
    unknown_id: int
    characters: bytes


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a kind of tokenizer adds to its SentencePiece model.

    `before` takes the place of the first `replaced` pieces; `roberta` pairs have two separators
    and no segments.
    """

    settings: Mapping[str, Any]
    before: tuple[Piece, ...] = ()
    replaced: int = 0
    after: tuple[Piece, ...] = ()
    roberta: bool = False


_ROBERTA = {**ROBERTA, "add_prefix_space": True}
_ALBERT = {**BERT, "unk_token": "<unk>", "pad_token": "<pad>", "add_prefix_space": True}
KINDS = {
    "XLMRobertaTokenizer": Kind(
        _ROBERTA,
        before=(("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)),
        replaced=3,
        after=(("<mask>", 0.0),),
        roberta=True,
    ),
    "CamembertTokenizer": Kind(
        _ROBERTA,
        before=(
            ("<s>NOTUSED", 0.0),
            ("<pad>", 0.0),
            ("</s>NOTUSED", 0.0),
            ("<unk>", 0.0),
            ("<unk>NOTUSED", -100.0),
        ),
        replaced=1,
        after=(("<mask>", 0.0),),
        roberta=True,
    ),
    "AlbertTokenizer": Kind({**_ALBERT, "do_lower_case": True, "keep_accents": False}),
    "DebertaV2Tokenizer": Kind(
        {**BERT, "add_prefix_space": True, "do_lower_case": False, "split_by_punct": False}
    ),
}
"""By `tokenizer_class`, without `Fast` at its end."""
_OF_FAMILY = {
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
}


def build(
    path: pathlib.Path, config: Mapping[str, Any], family: str | None
) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Make a tokenizer of a model and of the settings beside it.

    Args:
        path: A file of SentencePiece.
        config: The content of `tokenizer_config.json`, or nothing.
        family: The `model_type` in `config.json`, which tells the kind where `config` does not.

    Returns:
        The tokenizer, and its settings with those that its kind implies.

    Raises:
        ValueError: If the kind is not known, or the file is damaged or not of a Unigram model.
    """
    name = config.get("tokenizer_class") or _OF_FAMILY.get(family or "", "")
    name = name.removesuffix("Fast")
    if name not in KINDS:
        raise ValueError(
            f"{path.name} is read for a `tokenizer_class` in tokenizer_config.json that is one of "
            f"{', '.join(KINDS)}. Save tokenizer.json with transformers for any other. "
            f"Received: tokenizer_class={config.get('tokenizer_class')!r} in {path.parent}"
        )
    kind, model = KINDS[name], read(path)
    settings = {**kind.settings, **config}
    pieces = [*kind.before, *model.pieces[kind.replaced :], *kind.after]
    special = {each: content_of(settings[each]) for each in SPECIAL}
    ids = {piece: index for index, (piece, _) in enumerate(pieces)}
    unknown_id = ids.get(special["unk_token"], model.unknown_id)
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=unknown_id))
    backend.normalizer = normalizers.Sequence(_NORMALIZERS.get(name, _plain)(settings, model))
    scheme = "always" if settings["add_prefix_space"] else "never"
    words = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*_splits(name, settings), words])
    backend.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme=scheme)
    backend.add_special_tokens(list(special.values()))
    numbers = backend.get_vocab(with_added_tokens=True)
    cls, sep = ((special[name], numbers[special[name]]) for name in ("cls_token", "sep_token"))
    backend.post_processor = _around_roberta(cls, sep) if kind.roberta else around_texts(cls, sep)
    return backend, settings


def read(path: pathlib.Path) -> Model:
    """Read a model of SentencePiece.

    Args:
        path: The file.

    Returns:
        The model.

    Raises:
        ValueError: If the file is damaged, or its model is not Unigram.
    """
    pieces, trainer, normalizer = [], b"", b""
    try:
        for number, value in _fields(path.read_bytes()):
            if number == _PIECES:
                piece = dict(_fields(value))
                (score,) = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
                pieces.append((piece[_TEXT].decode(), score))
            elif number == _TRAINER:
                trainer = value
            elif number == _NORMALIZER:
                normalizer = value
        settings, characters = dict(_fields(trainer)), dict(_fields(normalizer))
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"The file must be a model of SentencePiece. Received: {path}") from error
    if not pieces or settings.get(_ALGORITHM, _UNIGRAM) != _UNIGRAM:
        raise ValueError(f"The file must be a Unigram model of SentencePiece. Received: {path}")
    return Model(pieces, settings.get(_UNKNOWN_ID, 0), characters.get(_CHARACTERS, b""))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a protocol buffer; its package is large for this."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}[wire] if wire != 2 else None
        if size is None:
            size, position = _varint(data, position)
        if position + size > len(data):
            raise IndexError(position)
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return an integer of seven bits a byte, and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


def _plain(settings: Mapping[str, Any], model: Model) -> list[Any]:
    return [normalizers.Precompiled(model.characters)] if model.characters else []


def _albert(settings: Mapping[str, Any], model: Model) -> list[Any]:
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not settings["keep_accents"]:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    steps += [normalizers.Lowercase()] if settings["do_lower_case"] else []
    return [*steps, *_plain(settings, model)]


def _deberta(settings: Mapping[str, Any], model: Model) -> list[Any]:
    return [
        *([normalizers.Lowercase()] if settings["do_lower_case"] else []),
        normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
        normalizers.NFC(),
        normalizers.Strip(left=False, right=True),
    ]


_NORMALIZERS = {"AlbertTokenizer": _albert, "DebertaV2Tokenizer": _deberta}


def _splits(name: str, settings: Mapping[str, Any]) -> list[Any]:
    """Return how texts are cut before spaces are."""
    if name != "DebertaV2Tokenizer":
        return [pre_tokenizers.WhitespaceSplit()]
    return [pre_tokenizers.Punctuation("isolated")] if settings["split_by_punct"] else []


def _around_roberta(cls: Token, sep: Token) -> Any:
    """Return what puts special tokens around texts in the way of RoBERTa."""
    return processors.TemplateProcessing(
        single=f"{cls[0]} $A {sep[0]}",
        pair=f"{cls[0]} $A {sep[0]} {sep[0]} $B {sep[0]}",
        special_tokens=[cls, sep],
    )
