"""Prepared records to masked batches, for `model.fit` on any backend."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import check_choice, check_counts, check_positive_integers, require_packages
from kzoo.data.manifest import SPLITS, TOKENIZER, read_manifest
from kzoo.data.masking import MASKINGS, MaskingVocabulary, check_rate, mask_tokens
from kzoo.data.records import Record
from kzoo.data.tokenizer import Tokenizer

Array = np.ndarray[Any, Any]
# Epochs, where there is no end. And what tells seeds of orders and of masks from each other.
_FOREVER = 2**30
_ORDER, _MASKS = 0, 1

Batch = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]


def pretraining_dataset(
    folder: str | os.PathLike[str],
    batch_size: int,
    masking: str = "token",
    rate: float = 0.15,
    predictions: int = 20,
    seed: int = 0,
    epochs: int | None = None,
    workers: int = 0,
    split: str = "train",
    start: int = 0,
    inputs: Sequence[str] | None = None,
) -> Any:
    """Read prepared records in random order, masked anew in each epoch.

    The batches follow from the records, the seed and the batch size alone. Each is what
    `fit(dataset, shuffle=False)` takes, (x, y, sample_weight) of NumPy arrays by name:

    * x: the arrays of the tokenizer, such as `token_ids` and `padding_mask`, int32 (B, T), and
      `mask_positions`, int32 (B, P);
    * y: `masked`, the hidden tokens, int32 (B, P), and of pairs `pair`, int32 (B,): 0 where the
      second text follows the first, 1 where it is a random one, as in BERT;
    * sample_weight: for each of them, float32: 0.0 for what fills up `masked`.

    Args:
        folder: What `prepare` wrote.
        batch_size: Records in a batch, B. The records left over at the end are not read.
        masking: `token`, `word` or `span`; see `mask_tokens`.
        rate: Share of the tokens that are hidden.
        predictions: The most that are hidden in a record, P.
        seed: Seed of the order and of the masks.
        epochs: How often each record is read. None never ends: `fit` asks for `steps_per_epoch`.
        workers: Processes that make batches ahead. 0 makes them in this one.
        split: `train`, or `held_out` for the documents that were kept apart.
        start: Batches that are left out at the beginning: training goes on after them.
        inputs: The arrays that the model reads, a part of those of the tokenizer; None for all.

    Returns:
        A `grain.IterDataset`.

    Raises:
        ValueError: If an argument is out of its range, or the folder is not whole.
    """
    require_packages(("array_record", "grain"), "pretrain", "reading records for pretraining")
    check_choice(MASKINGS, masking=masking)
    check_rate(rate)
    counts = {} if epochs is None else {"epochs": epochs}
    check_positive_integers(batch_size=batch_size, predictions=predictions, **counts)
    check_counts(seed=seed, workers=workers, start=start)
    check_choice(SPLITS, split=split)
    import grain

    folder = Path(folder)
    manifest = read_manifest(folder)
    records = manifest["totals"][split]["records"]
    if batch_size > records:
        raise ValueError(
            f"`batch_size` must be at most the number of records, {records} with split={split!r}. "
            f"Received: batch_size={batch_size}"
        )
    tokenizer = Tokenizer.from_folder(folder / TOKENIZER)
    make_batch = MakeBatch(
        paths=tuple(
            str(folder / shard["name"]) for shard in manifest["shards"] if shard["split"] == split
        ),
        records=records,
        batch_size=batch_size,
        length=manifest["settings"]["length"],
        pad_id=tokenizer.pad_id,
        inputs=_some_inputs(inputs, tokenizer.inputs),
        pairs=manifest["settings"]["pairs"] != "none",
        vocabulary=MaskingVocabulary.of(tokenizer),
        masking={"masking": masking, "rate": rate, "predictions": predictions},
        seed=seed,
    )
    number = make_batch.batches_an_epoch * (_FOREVER if epochs is None else epochs)
    # More threads than these only wait for each other: they share an interpreter.
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    dataset = grain.MapDataset.range(start, number).map(make_batch).to_iter_dataset(options)
    if not workers:
        return dataset
    from absl import flags

    if not flags.FLAGS.is_parsed():  # The processes of Grain read flags of the command line.
        flags.FLAGS.mark_as_parsed()
    return dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def _some_inputs(inputs: Sequence[str] | None, made: tuple[str, ...]) -> tuple[str, ...]:
    """Check that the arrays that a model reads are made."""
    chosen = made if inputs is None else tuple(inputs)
    if not set(chosen) <= set(made):
        raise ValueError(
            f"`inputs` must be made by the tokenizer of the data: {', '.join(made)}. "
            f"Received: inputs={list(chosen)}"
        )
    return chosen


@dataclasses.dataclass(frozen=True)
class MakeBatch:
    """Makes any of the batches: a function of its number, which each process can call.

    Attributes:
        paths: The files of records.
        records: Number of records in them.
        batch_size: Records in a batch, B.
        length: Length of the rows, T.
        pad_id: The token that fills them up.
        inputs: Names of the arrays that the model reads.
        pairs: Whether the records are pairs.
        vocabulary: What masking asks of the tokenizer.
        masking: The other arguments of `mask_tokens`.
        seed: Seed of the order and of the masks.
    """

    paths: tuple[str, ...]
    records: int
    batch_size: int
    length: int
    pad_id: int
    inputs: tuple[str, ...]
    pairs: bool
    vocabulary: MaskingVocabulary
    masking: Mapping[str, Any]
    seed: int

    @property
    def batches_an_epoch(self) -> int:
        """How many batches there are before a record is read again."""
        return self.records // self.batch_size

    def __call__(self, number: int) -> Batch:
        """Make a batch.

        Args:
            number: Which one, counted from the first of the first epoch.

        Returns:
            Inputs, labels and weights.
        """
        epoch, place = divmod(int(number), self.batches_an_epoch)
        order = _order(self.records, self.seed, epoch)
        inputs, labels = self._read(order[place * self.batch_size :][: self.batch_size])
        random = np.random.default_rng([self.seed, _MASKS, int(number)])
        hidden = mask_tokens(inputs["token_ids"], self.vocabulary, random, **self.masking)
        inputs |= {name: hidden[name] for name in ("token_ids", "mask_positions")}
        weights = {name: np.ones(len(array), "float32") for name, array in labels.items()}
        return (
            inputs,
            {"masked": hidden["labels"], **labels},
            {"masked": hidden["weights"], **weights},
        )

    def _read(self, numbers: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """Read records; return the inputs, nothing hidden yet, and what is known of pairs."""
        rows = _source(self.paths).__getitems__(numbers.tolist())
        token_ids = np.full((len(rows), self.length), self.pad_id, "int32")
        starts, sizes, is_random = np.zeros((3, len(rows)), "int32")
        for index, row in enumerate(rows):
            stored = np.frombuffer(row, "<u4")
            starts[index], is_random[index] = stored[0], 1 - stored[1]
            sizes[index] = len(stored) - Record.HEADER
            token_ids[index, : sizes[index]] = stored[Record.HEADER :]
        places = np.arange(self.length, dtype="int32")
        real = places < sizes[:, None]
        arrays = {
            "token_ids": token_ids,
            "segment_ids": (real & (places >= starts[:, None])).astype("int32"),
            "padding_mask": real.astype("int32"),
        }
        labels = {"pair": is_random} if self.pairs else {}
        return {name: arrays[name] for name in self.inputs}, labels


@functools.lru_cache(maxsize=2)
def _order(records: int, seed: int, epoch: int) -> Array:
    """Return the order of the records in an epoch."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(records)


@functools.lru_cache(maxsize=4)
def _source(paths: tuple[str, ...]) -> Any:
    """Open files of records, once in each process."""
    import grain

    return grain.sources.ArrayRecordDataSource(list(paths))
