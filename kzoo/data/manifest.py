"""What is written beside records: what they are, how they were made, and their hashes."""

import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Any

from kzoo.json_file import read_json_object

MANIFEST, TOKENIZER = "manifest.json", "tokenizer"
SPLITS = ("train", "held_out")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the records follow from, besides the texts and the tokenizer."""

    pairs: str
    length: int
    seed: int
    language: str
    documents_per_shard: int
    held_out: float
    trained_vocab: int | None = None


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of records, and what is in it.

    Attributes:
        split: `train`, or `held_out` for documents that nothing is trained on.
    """

    name: str
    split: str
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
        """Return the manifest as it is written, with the totals of each split."""
        names = ("documents", "records", "tokens", "is_next")
        totals = {
            split: {
                name: sum(getattr(shard, name) for shard in self.shards if shard.split == split)
                for name in names
            }
            for split in SPLITS
        }
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


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what was prepared, and check that it is whole.

    Args:
        folder: What `prepare` wrote.

    Returns:
        The content of `manifest.json`.

    Raises:
        ValueError: If the folder has no manifest, for it is not finished, or a shard is not as it
            was written.
    """
    if not (folder / MANIFEST).is_file():
        raise ValueError(
            f"The folder must have {MANIFEST}, which `kzoo prepare` writes last. Received: {folder}"
        )
    manifest = read_json_object(folder / MANIFEST)
    for shard in manifest["shards"]:
        path = folder / shard["name"]
        if not path.is_file() or _hash_of_state(path, path.stat()) != shard["sha256"]:
            raise ValueError(
                "The records must be as they were written: delete the file and prepare the folder "
                f"again. Received: a missing or damaged {path}"
            )
    return manifest


def _hash_of_state(path: Path, state: os.stat_result) -> str:
    """Hash a file, but not again before it is written again: a run reads its data several times."""
    return _hash_once(path, state.st_size, state.st_mtime_ns)


@functools.cache
def _hash_once(path: Path, size: int, written: int) -> str:
    return hash_file(path)
