"""Labeled texts without duplicates, in parts."""

import hashlib
import json
import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from kzoo.arguments import check_rates
from kzoo.data.labeled import LabeledTexts
from kzoo.problems import PROBLEMS

PARTS = ("train", "validation", "test")


class Cleaned(NamedTuple):
    """Parts without duplicates, and how many rows were removed.

    `duplicates` repeat another row of their part, `conflicts` have the text of a row with another
    label, `leaks` have the text of a row of a part that is measured on.
    """

    parts: dict[str, LabeledTexts]
    duplicates: int
    conflicts: int
    leaks: int


def clean(parts: Mapping[str, LabeledTexts]) -> Cleaned:
    """Remove rows that say nothing new, or that contradict each other.

    Texts are the same if they are after compatibility composition (NFKC), in lower case, with
    single spaces. Of equal rows the first is kept; of rows with equal texts and different labels
    none; and none of `train` whose text is in `validation` or `test`, or of `validation` whose text
    is in `test`.

    Args:
        parts: Labeled texts by part.

    Returns:
        The rows that are left, in their order.
    """
    seen: set[tuple[str, ...]] = set()
    cleaned: dict[str, LabeledTexts] = {}
    duplicates = conflicts = leaks = 0
    for part in sorted(parts, key=["test", "validation", "train", "all"].index):
        rows: dict[tuple[str, ...], list[int]] = {}
        for row, key in enumerate(_keys(parts[part])):
            rows.setdefault(key, []).append(row)
        kept = []
        for key, same in rows.items():
            if key in seen:
                leaks += len(same)
            elif len({parts[part].labels[row] for row in same}) > 1:
                conflicts += len(same)
            else:
                duplicates += len(same) - 1
                kept.append(same[0])
        seen |= rows.keys()
        cleaned[part] = parts[part].take(sorted(kept))
    return Cleaned({part: cleaned[part] for part in parts}, duplicates, conflicts, leaks)


def make_parts(
    parts: Mapping[str, LabeledTexts], test: float = 0.2, validation: float = 0.1, seed: int = 0
) -> Cleaned:
    """Clean labeled texts, and set aside what is measured on where the data have no such part.

    Args:
        parts: As `read_labeled` found them: `all`, or `train` and others.
        test: Share of `all`, or of `train`, that becomes `test`. Not used if there is one.
        validation: Share of the rest that becomes `validation`, 0 for none. Not used if there is
            one.
        seed: Another seed sets other rows aside.

    Returns:
        The parts `train`, `test` and perhaps `validation`, and what was removed.

    Raises:
        ValueError: If a share is out of its range, too little is left of a part, or a part has a
            label that `train` does not have.
    """
    check_rates(test=test, validation=validation)
    cleaned = clean(parts)
    made = dict(cleaned.parts)
    made["train"] = made.pop("all", made.get("train", LabeledTexts([], None, [])))
    for part, share in (("test", test), ("validation", validation)):
        if part not in made and (share or part == "test"):
            made["train"], made[part] = split(made["train"], share, seed, part)
    only = set(made["train"].labels)
    if len(only) < 2:
        raise ValueError(
            "The data must have two or more different labels to train on. "
            f"Received: {', '.join(map(repr, only)) or 'no row'}"
        )
    names = PROBLEMS[made["train"].problem].names
    labels = set(names(made["train"].labels))
    for part, data in made.items():
        if not data.texts:
            raise ValueError(
                f"The data must have rows of {part}: more texts of each label, or a larger share. "
                f"Received: {len(made['train'].texts)} rows of train, none of {part}"
            )
        if unseen := sorted(set(names(data.labels)) - labels):
            raise ValueError(
                f"Each label must occur in train. Received: {', '.join(map(repr, unseen))} in "
                f"{part} alone"
            )
    return cleaned._replace(parts={part: made[part] for part in PARTS if part in made})


def split(
    data: LabeledTexts, share: float, seed: int = 0, purpose: str = ""
) -> tuple[LabeledTexts, LabeledTexts]:
    """Set a share of the rows of each label aside, of several labels of the rarest.

    Which rows depends on their texts and the seed alone: not on their order, and little on what
    else there is.

    Args:
        data: Labeled texts.
        share: The share, in [0, 1).
        seed: Another seed sets other rows aside.
        purpose: What they are set aside for. Rows for one purpose are independent of those for
            another.

    Returns:
        The rows that stay, at least one of each label, and those that are set aside.
    """
    hashes = hashes_of(data, f"{seed} {purpose}")
    strata: dict[Hashable, list[int]] = {}
    for row, stratum in enumerate(PROBLEMS[data.problem].strata(data.labels)):
        strata.setdefault(stratum, []).append(row)
    aside: set[int] = set()
    for rows in strata.values():
        count = min(round(share * len(rows)), len(rows) - 1)
        aside |= set(sorted(rows, key=lambda row: hashes[row])[:count])
    stay = [row for row in range(len(data.labels)) if row not in aside]
    return data.take(stay), data.take(sorted(aside))


def hashes_of(data: LabeledTexts, salt: str = "") -> list[str]:
    """Compute a hash for each row, by which it is found again without its text being written.

    Args:
        data: Labeled texts.
        salt: What is hashed before each row.

    Returns:
        SHA-256 of the texts of each row, 32 hexadecimal digits.
    """
    rows = zip(data.texts, data.seconds or [""] * len(data.texts), strict=True)
    return [_hash((salt, *row)) for row in rows]


def hash_of(parts: Mapping[str, LabeledTexts]) -> str:
    """Compute one hash of all texts, labels and parts.

    Args:
        parts: Labeled texts by part.

    Returns:
        32 hexadecimal digits.
    """
    return _hash(
        field
        for part, data in sorted(parts.items())
        for row, label in zip(hashes_of(data), data.labels, strict=True)
        for field in (part, row, label if isinstance(label, str) else json.dumps(label))
    )


def _hash(fields: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for field in fields:
        encoded = field.encode("utf-8", "surrogatepass")
        # The length keeps ("a", "bc") and ("ab", "c") apart.
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:32]


def _keys(data: LabeledTexts) -> Iterable[tuple[str, ...]]:
    columns = (data.texts, data.seconds) if data.seconds else (data.texts,)
    return zip(*(map(_normalize, column) for column in columns), strict=True)


def _normalize(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
