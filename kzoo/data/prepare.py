"""Raw text to shards of records, which pretraining reads."""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kzoo.arguments import (
    check_choice,
    check_counts,
    check_positive_integers,
    check_rates,
    require_packages,
)
from kzoo.data.corpus import find_files, read_all, read_documents
from kzoo.data.manifest import (
    MANIFEST,
    TOKENIZER,
    Manifest,
    Settings,
    Shard,
    hash_file,
)
from kzoo.data.masking import MaskingVocabulary
from kzoo.data.records import PAIRS, Layout
from kzoo.data.shards import make_shards
from kzoo.data.tokenizer import Tokenizer
from kzoo.data.vocabulary import train_word_pieces
from kzoo.json_file import read_json_object, write_json

Progress = Callable[[str, float], None]

SETTINGS = "settings.json"
DOCUMENTS_PER_SHARD = 1000


def prepare(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    tokenizer: Tokenizer | int,
    *,
    pairs: str = "next_sentence",
    length: int = 128,
    language: str = "en",
    field: str = "text",
    seed: int = 0,
    workers: int | None = None,
    documents_per_shard: int = DOCUMENTS_PER_SHARD,
    held_out: float = 0.05,
    progress: Progress | None = None,
) -> Manifest:
    """Make the records that a model is pretrained on.

    The same texts and settings give the same bytes, whatever the number of workers. A run that
    was ended goes on where it was when it is started again.

    Args:
        sources: Files of text, of JSON lines, or folders of them; `.gz` files are decompressed.
        out: Folder to write.
        tokenizer: What makes tokens of the texts, or the size of a vocabulary of word pieces that
            is trained on them; it is kept in the folder.
        pairs: `next_sentence`, or `none` for sequences of single texts.
        length: The longest sequence, in tokens.
        language: The language whose abbreviations end no sentence, as `sentencex` calls it.
        field: The field of a JSON record that has the text.
        seed: Seed of everything random.
        workers: Number of processes. By default as many as there are processors. They start anew:
            with more than one, a script calls this below `if __name__ == "__main__":`.
        documents_per_shard: Documents in a file of records, the unit of work.
        held_out: Share of the documents whose records are kept apart, to measure on: drawn from
            each `documents_per_shard`. Of few, fewer than 10 or of pairs 20, none are.
        progress: Called with each step and the fraction that is done.

    Returns:
        What was made.

    Raises:
        ValueError: If an argument is out of its range, a file cannot be read, there is too little
            text, or the folder has records of other texts or settings.
    """
    require_packages(("array_record", "sentencex"), "pretrain", "preparing text for pretraining")
    check_choice(PAIRS, pairs=pairs)
    check_positive_integers(length=length, documents_per_shard=documents_per_shard)
    check_counts(seed=seed)
    check_rates(held_out=held_out)
    workers = (os.cpu_count() or 1) if workers is None else workers
    check_positive_integers(workers=workers)
    tell = progress or (lambda step, fraction: None)
    files = find_files(sources)
    _check_enough(files, field, pairs)
    folder, trained = Path(out), tokenizer if isinstance(tokenizer, int) else None
    if isinstance(tokenizer, int):
        tokenizer = _trained(folder, files, field, tokenizer, tell)
    limit = tokenizer.max_length
    if limit is not None and length > limit:
        raise ValueError(
            f"`length` must be at most the {limit} tokens that the model of the tokenizer takes. "
            f"Received: length={length}"
        )
    Layout.of(tokenizer).room(length)
    MaskingVocabulary.of(tokenizer)
    settings = Settings(pairs, length, seed, language, documents_per_shard, held_out, trained)
    begun = _begin(folder, settings, files, tokenizer, tell)
    units = _units(_documents(files, field, tell), documents_per_shard)
    shards = tuple(itertools.chain.from_iterable(_run(units, folder, settings, workers)))
    manifest = Manifest(settings, begun["tokenizer"], tuple(begun["sources"]), shards)
    write_json(folder / MANIFEST, manifest.to_dict())
    tell("done", 1.0)
    return manifest


def _check_enough(files: list[Path], field: str, pairs: str) -> None:
    """Require text, and of pairs two documents, before anything is written."""
    count = len(list(itertools.islice(read_all(files, field), 2)))
    if count == 0:
        raise ValueError(f"`sources` must have text. Received: none in {len(files)} files")
    if count == 1 and pairs != "none":
        raise ValueError(
            "`pairs` must be 'none' unless there are two documents: half of the pairs have a "
            f"partner from another one. Received: pairs={pairs!r} and one document"
        )


def _trained(folder: Path, files: list[Path], field: str, size: int, tell: Progress) -> Tokenizer:
    """Train a vocabulary; an ended run goes on with its own, because no training gives it again."""
    if (folder / SETTINGS).is_file():
        return Tokenizer.from_folder(folder / TOKENIZER)
    tell("train the vocabulary", 0.0)
    return train_word_pieces(read_all(files, field), size)


def _begin(
    folder: Path, settings: Settings, files: list[Path], tokenizer: Tokenizer, tell: Progress
) -> dict[str, Any]:
    """Write what the records follow from, or find the same in the folder of an ended run."""
    tell("read", 0.0)
    content = tokenizer.backend.to_str().encode()
    described = {
        "settings": dataclasses.asdict(settings),
        "tokenizer": hashlib.sha256(content).hexdigest(),
        "sources": [
            {"name": str(path), "size": path.stat().st_size, "sha256": hash_file(path)}
            for path in files
        ],
    }
    path = folder / SETTINGS
    if not path.is_file():
        # What a run leaves that was killed at its very start.
        begun = {TOKENIZER, path.with_suffix(".unfinished").name}
        if folder.is_dir() and any(other.name not in begun for other in folder.iterdir()):
            raise ValueError(
                f"`out` must be a new folder or one of an earlier run. Received: {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(folder / TOKENIZER)
        write_json(path, described)
        return described
    earlier = read_json_object(path)
    for name, value in described.items():
        if earlier.get(name) != value:
            raise ValueError(
                f"`out` has records with other {name}: take another folder. Received: {folder} "
                f"with {json.dumps(earlier.get(name))[:200]}"
            )
    return described


def _documents(files: list[Path], field: str, tell: Progress) -> Iterator[str]:
    """Yield the documents of all files."""
    total = sum(path.stat().st_size for path in files) or 1
    done = 0
    for path in files:
        tell(f"prepare {path.name}", 0.98 * done / total)
        size, read = path.stat().st_size, 0
        for number, document in enumerate(read_documents(path, field)):
            read += len(document)
            if number % 100 == 0:  # Compressed files are larger inside: their part never overflows.
                tell(f"prepare {path.name}", 0.98 * (done + min(read, size)) / total)
            yield document
        done += size


def _units(documents: Iterator[str], size: int) -> Iterator[list[str]]:
    """Group documents; the last group has a second document wherever there is one before it."""
    unit: list[str] = []
    kept: list[str] | None = None
    for document in documents:
        unit.append(document)
        if len(unit) == size:
            if kept is not None:
                yield kept
            kept, unit = unit, []
    if kept is not None and len(unit) < 2:
        yield [*kept, *unit]
        return
    yield from [kept] if kept is not None else []
    yield from [unit] if unit else []


def _run(
    units: Iterator[list[str]], folder: Path, settings: Settings, workers: int
) -> Iterator[list[Shard]]:
    """Make the shards of each unit, in order; those that are there are taken as they are."""
    jobs = ((index, unit, str(folder), settings) for index, unit in enumerate(units))
    if workers == 1:
        for job in jobs:
            yield make_shards(*job)
        return
    import concurrent.futures
    import multiprocessing

    # The processes of a pool start anew: the threads of a framework survive no fork.
    context = multiprocessing.get_context("spawn")
    waiting: collections.deque[concurrent.futures.Future[list[Shard]]] = collections.deque()
    with concurrent.futures.ProcessPoolExecutor(workers, context, _be_single) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(make_shards, *job))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _be_single() -> None:
    """Leave the processors to the other workers."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
