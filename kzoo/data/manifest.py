"""What is written beside records: what they are, how they were made, and their hashes."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

MANIFEST, TOKENIZER = "manifest.json", "tokenizer"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the records follow from, besides the texts and the tokenizer."""

    pairs: str
    length: int
    seed: int
    language: str
    documents_per_shard: int
    trained_vocab: int | None = None


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of records, and what is in it."""

    name: str
    documents: int
    records: int
    tokens: int
    is_next: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All about prepared data.

    Attributes:
        settings: What was asked for.
        tokenizer: SHA-256 of `tokenizer.json`.
        sources: Name, size in bytes and SHA-256 of each file of text.
        shards: The files of records.
    """

    settings: Settings
    tokenizer: str
    sources: tuple[dict[str, Any], ...]
    shards: tuple[Shard, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as it is written, with totals."""
        names = ("documents", "records", "tokens", "is_next")
        totals = {name: sum(getattr(shard, name) for shard in self.shards) for name in names}
        return {"totals": totals, **dataclasses.asdict(self)}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
