"""The unit of work of preparing text: some documents to files of records."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from kzoo.data.manifest import SPLITS, TOKENIZER, Settings, Shard, hash_file
from kzoo.data.records import make_records
from kzoo.data.tokenizer import Tokenizer
from kzoo.json_file import read_json_object, whole_file, write_json

# A record a group, so that any of them is read alone.
_WRITER = "group_size:1,zstd:3"


def make_shards(index: int, documents: list[str], folder: str, settings: Settings) -> list[Shard]:
    """Write the records of some documents, and beside them what they are, unless all are there.

    Args:
        index: Number of the unit.
        documents: The texts.
        folder: Folder to write, with the tokenizer.
        settings: What the records follow from, besides the texts and the tokenizer.

    Returns:
        A file of records to train on and, where some documents are held out, one of theirs.
    """
    described = Path(folder, f"records-{index:05d}.json")
    if described.is_file():
        made = [Shard(**shard) for shard in read_json_object(described)["shards"]]
        if all(Path(folder, shard.name).is_file() for shard in made):
            return made
    number = _count_held_out(len(documents), settings)
    drawn = np.random.default_rng([settings.seed, index, len(SPLITS)]).permutation(len(documents))
    apart = set(drawn[:number].tolist())
    parts = {
        "train": [text for place, text in enumerate(documents) if place not in apart],
        "held_out": [text for place, text in enumerate(documents) if place in apart],
    }
    shards = [
        _write_shard(split, index, parts[split], folder, settings)
        for split in SPLITS
        if parts[split]
    ]
    write_json(described, {"shards": [dataclasses.asdict(shard) for shard in shards]})
    return shards


def _count_held_out(count: int, settings: Settings) -> int:
    """Say how many of the documents are held out: of pairs two at least, of few documents none."""
    least = 1 if settings.pairs == "none" else 2
    if not settings.held_out or count < 10 * least:
        return 0
    return max(least, round(settings.held_out * count))


def _write_shard(
    split: str, index: int, documents: list[str], folder: str, settings: Settings
) -> Shard:
    """Write one file of records."""
    from array_record.python.array_record_module import ArrayRecordWriter

    random = np.random.default_rng([settings.seed, index, SPLITS.index(split)])
    records = make_records(
        documents, _tokenizer(folder), settings.pairs, settings.length, random, settings.language
    )
    path = Path(folder, f"{split.replace('_', '-')}-{index:05d}.array_record")
    with whole_file(path) as unfinished:
        writer = ArrayRecordWriter(str(unfinished), _WRITER)
        for record in records:
            writer.write(record.to_bytes())
        writer.close()
        return Shard(
            name=path.name,
            split=split,
            documents=len(documents),
            records=len(records),
            tokens=sum(len(record.token_ids) for record in records),
            is_next=sum(record.is_next for record in records),
            sha256=hash_file(unfinished),
        )


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.from_folder(Path(folder, TOKENIZER))
