"""Samples: what a caller gives, checked, or made where nothing is given."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kzoo.arguments import close_matches
from kzoo.data.texts import is_pair
from kzoo_export.given import Batch, expected_forms, is_texts, read_batches, to_array
from kzoo_export.labels import Classes
from kzoo_export.spec import OPEN, TensorSpec

# Rows used where the caller gives no samples.
_NUM_TEXTS = 64
_NUM_SYNTHETIC = 16
# The sizes that random numbers have along the first, second, ... open axis.
_OPEN_LENGTHS = (32, 40, 48)


@dataclasses.dataclass(frozen=True)
class Samples:
    """Arrays by input name, equally many rows each, and a description of where they come from.

    `given` tells those of the user from those that were made for want of any. `labels` has the
    index of each row's class, by the name of the output that tells the classes.
    """

    arrays: Mapping[str, np.ndarray]
    source: str
    given: bool = True
    labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, rows: np.ndarray | slice, source: str | None = None) -> "Samples":
        """Choose some rows.

        Args:
            rows: Which.
            source: Where they come from; by default what these say.

        Returns:
            The samples.
        """
        return Samples(
            {name: array[rows] for name, array in self.arrays.items()},
            self.source if source is None else source,
            self.given,
            {name: array[rows] for name, array in self.labels.items()},
        )


@dataclasses.dataclass(frozen=True)
class Reader:
    """Turns what a caller gives into checked samples for the inputs of a file.

    `limits` holds the number of rows of the table each integer input looks up, `kinds` what the
    inputs are, where known, and `classes` what labels are labels of.
    """

    inputs: tuple[TensorSpec, ...]
    limits: Mapping[str, int]
    tokenizer: Any = None
    seed: int = 0
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    classes: Classes | None = None

    def read(self, given: Any, argument: str) -> Samples:
        """Read x, a tuple (x, y) or (x, y, sample_weight) as `fit` takes it, or batches of these.

        x is a dictionary of arrays, one array for a model with one input, or a list of texts or of
        pairs. A tuple is never a sequence of batches. Labels and weights never enter the model;
        weights are not used.

        Args:
            given: What the caller gave.
            argument: Its name, for messages.

        Returns:
            The checked samples.

        Raises:
            ValueError: If they do not fit the inputs.
        """
        batches = read_batches(given, argument)
        only_texts = all(is_texts(batch.x) for batch in batches)
        if only_texts:
            texts = [text for batch in batches for text in batch.x]
            arrays = self._check(self._tokenize(texts, argument), argument)
        else:
            parts = [self._check(self._read_x(batch.x, argument), argument) for batch in batches]
            arrays = _join(parts, argument)
        samples = Samples(arrays, "", labels=self._read_labels(batches, argument))
        kind = "texts" if only_texts else "samples"
        source = f"{len(samples)} given {kind}"
        if samples.labels:
            self._check_count(samples, argument)
            source += " with labels"
        elif any(batch.y is not None for batch in batches):
            source += ", labels not used"
        return dataclasses.replace(samples, source=source)

    def default(self, count: int = 1) -> Samples:
        """Make samples where none were given.

        Args:
            count: How many sets of samples will be cut from these.

        Returns:
            Sentences of the packaged sample for a model with a tokenizer, else random numbers.
        """
        if self.tokenizer is not None:
            from kzoo.data import sample_texts

            texts = sample_texts()
            # Spread over the whole file, so that every source in it is heard.
            picked = np.linspace(0, len(texts) - 1, count * _NUM_TEXTS).astype(int)
            unique = [texts[i] for i in dict.fromkeys(picked.tolist())]
            arrays = self._check(self._tokenize(unique, "samples"), "samples")
            return Samples(arrays, f"{len(unique)} packaged sentences", given=False)
        random = np.random.default_rng(self.seed)
        num_rows = count * _NUM_SYNTHETIC
        arrays = {entry.name: self._random(entry, num_rows, random) for entry in self.inputs}
        return Samples(arrays, f"{num_rows} random samples, seed {self.seed}", given=False)

    def _read_x(self, x: Any, argument: str) -> dict[str, np.ndarray]:
        """Turn the samples of one batch into arrays by input name."""
        if isinstance(x, str):
            raise ValueError(f"`{argument}` must be a list of texts. Received: one string")
        if is_texts(x):
            return self._tokenize(list(x), argument)
        if isinstance(x, Mapping):
            arrays = {name: to_array(value) for name, value in x.items()}
        elif hasattr(x, "shape") and len(self.inputs) == 1:
            arrays = {self.inputs[0].name: to_array(x)}
        else:
            raise ValueError(expected_forms(argument, x))
        self._check_names(arrays, argument)
        return arrays

    def _read_labels(self, batches: Sequence[Batch], argument: str) -> dict[str, np.ndarray]:
        """Read the labels, where all batches have some and they can be those of one output."""
        if self.classes is None or any(y is None or isinstance(y, Mapping) for _, y in batches):
            return {}
        read = [self.classes.read(batch.y, argument) for batch in batches]
        return {self.classes.output: np.concatenate(read)}

    def _check_count(self, samples: Samples, argument: str) -> None:
        for labels in samples.labels.values():
            if len(labels) != len(samples):
                raise ValueError(
                    f"`{argument}` must have one label for each sample. "
                    f"Received: {len(samples)} samples, {len(labels)} labels"
                )

    def _tokenize(self, texts: list[Any], argument: str) -> dict[str, np.ndarray]:
        if self.tokenizer is None:
            raise ValueError(
                f"`{argument}` can only be texts for a model with a `tokenizer`: this one has "
                f"none. Received: {len(texts)} texts. Give a dictionary of arrays"
            )
        size = self.inputs[0].shape[1]
        length = None if size == OPEN else size
        arrays = self.tokenizer(*_columns(texts, argument), length=length)
        return {entry.name: arrays[entry.name] for entry in self.inputs}

    def _check(self, arrays: Mapping[str, np.ndarray], argument: str) -> dict[str, np.ndarray]:
        """Check the arrays of all inputs and give them the dtypes of the file."""
        checked = {entry.name: self._fit(entry, arrays, argument) for entry in self.inputs}
        counts = {name: len(array) for name, array in checked.items()}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise ValueError(
                f"`{argument}` must have the same number of rows in each input, at least one. "
                f"Received: {counts}"
            )
        return checked

    def _check_names(self, arrays: Mapping[str, Any], argument: str) -> None:
        expected = [entry.name for entry in self.inputs]
        for name in sorted(set(arrays) - set(expected)):
            raise ValueError(
                f"`{argument}` must have the inputs of the model. Received: {name!r}. "
                f"{close_matches(str(name), expected)}"
            )
        missing = [name for name in expected if name not in arrays]
        if missing:
            raise ValueError(
                f"`{argument}` must have every input of the model: {', '.join(expected)}. "
                f"Received: {', '.join(map(str, arrays)) or 'nothing'}; missing: "
                f"{', '.join(missing)}"
            )

    def _fit(
        self, entry: TensorSpec, arrays: Mapping[str, np.ndarray], argument: str
    ) -> np.ndarray:
        """Check the shape, the dtype and the values of one input."""
        array = arrays[entry.name]
        where = f"`{argument}[{entry.name!r}]`"
        pairs = zip(entry.shape[1:], array.shape[1:], strict=False)
        fits = all(size == own or (size == OPEN and own > 0) for size, own in pairs)
        if array.ndim != len(entry.shape) or not fits:
            expected = ("N", *("any" if size == OPEN else size for size in entry.shape[1:]))
            raise ValueError(
                f"{where} must have the shape ({', '.join(map(str, expected))}). "
                f"Received: shape={array.shape}"
            )
        kinds = "biuf" if entry.dtype.startswith("float") else "biu"
        if array.dtype.kind not in kinds:
            kind = "numbers" if "f" in kinds else "integers"
            raise ValueError(f"{where} must hold {kind}. Received: dtype={array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{where} must be finite. Received: NaN or infinity")
        self._check_values(entry, array, where)
        return array.astype(entry.dtype)

    def _check_values(self, entry: TensorSpec, array: np.ndarray, where: str) -> None:
        """Refuse ids that are in no table, and numbers that a cast would wrap around."""
        if array.dtype == bool or not array.size:
            return
        holds = np.finfo(entry.dtype) if entry.dtype.startswith("float") else np.iinfo(entry.dtype)
        low, high, what = holds.min, holds.max, f"numbers of the input's type, {entry.dtype},"
        if entry.name in self.limits or self.kinds.get(entry.name) == "token_ids":
            low, high, what = 0, min(high, self.limits.get(entry.name, high + 1) - 1), "ids"
            if (array % 1 != 0).any():
                raise ValueError(f"{where} must hold ids, whole numbers. Received: fractions")
        for extreme in (array.min(), array.max()):
            if not low <= extreme <= high:
                raise ValueError(
                    f"{where} must hold {what} from {low} to {high}. Received: {extreme}"
                )

    def _random(self, entry: TensorSpec, num_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw plausible values: ids of the vocabulary, masks of different lengths, or normals."""
        open_lengths = itertools.cycle(_OPEN_LENGTHS)
        sizes = (next(open_lengths) if size == OPEN else size for size in entry.shape[1:])
        shape, kind = (num_rows, *sizes), self.kinds.get(entry.name)
        if kind == "token_ids" and entry.name not in self.limits:
            raise ValueError(
                f"`samples` must be given: {entry.name!r} holds ids of a table whose size is not "
                "known. Received: samples=None"
            )
        if entry.dtype.startswith("float") and kind is None:
            return random.standard_normal(shape).astype(entry.dtype)
        if kind == "mask" and len(shape) == 2:
            lengths = random.integers(max(1, shape[1] // 4), shape[1] + 1, num_rows)
            return (np.arange(shape[1]) < lengths[:, None]).astype(entry.dtype)
        high = 256 if entry.dtype == "uint8" else self.limits.get(entry.name, 2)
        return random.integers(0, high, shape).astype(entry.dtype)


def _columns(texts: list[Any], argument: str) -> list[list[str]]:
    """Turn texts into one list, and pairs of texts into two."""
    if not is_pair(texts[0]):
        return [texts]
    lone = next((index for index, text in enumerate(texts) if not is_pair(text)), None)
    if lone is not None:
        raise ValueError(
            f"`{argument}` must be texts alone or pairs of texts alone. "
            f"Received: a pair at 0, {texts[lone]!r} at {lone}"
        )
    return [[pair[side] for pair in texts] for side in (0, 1)]


def _join(parts: Sequence[Mapping[str, np.ndarray]], argument: str) -> dict[str, np.ndarray]:
    """Put the rows of batches one after the other."""
    for name in parts[0]:
        shapes = sorted({part[name].shape[1:] for part in parts})
        if len(shapes) > 1:
            raise ValueError(
                f"`{argument}[{name!r}]` must have the same length in all batches. "
                f"Received: rows of the shapes {', '.join(map(str, shapes))}"
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
