"""Texts and labels as the batches that `fit` takes."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from kzoo.data.batching import real_widths
from kzoo.data.texts import Texts
from kzoo.tasks.prediction import backend_widths

# Batches among which rows are sorted by length: large enough that little is padded, small enough
# that a batch has rows from all over.
_SORTED_BATCHES = 32


def check_count(name: str, texts: Texts, labels: np.ndarray) -> None:
    """Require as many labels as texts.

    Args:
        name: What the user knows the texts by.
        texts: The texts.
        labels: Their labels.

    Raises:
        ValueError: If there are not.
    """
    if len(texts.first) != len(labels):
        raise ValueError(
            f"`{name}` must have one label for each text. "
            f"Received: {len(texts.first)} texts, {len(labels)} labels"
        )


class TextBatches(keras.utils.PyDataset):
    """Batches of texts of similar length, in another order in every epoch.

    Batches have one of a few widths where each width is compiled, and the last batch has as many
    rows as the others, with a weight of 0.

    Args:
        inputs: Arrays by name, (N, T).
        labels: (N,) or (N, C).
        batch_size: Rows of a batch.
        seed: Seed of the order, or None for the order of the rows.
        weights: What each row counts, (N,); 1 by default.
        epoch: The epoch whose order comes first.
    """

    def __init__(
        self,
        inputs: Mapping[str, np.ndarray],
        labels: np.ndarray,
        batch_size: int,
        seed: int | None,
        weights: np.ndarray | None = None,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self._inputs = inputs
        self._labels = labels
        self._size = batch_size
        self._seed = seed
        self._weights = np.ones(len(labels), "float32") if weights is None else weights
        self._epoch = epoch
        self._lengths = real_widths(inputs["padding_mask"])
        self._widths = backend_widths()
        self._batches = self._order()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        rows = self._batches[index]
        width = self._width(rows)
        # As many of the same rows again as are missing, which count for nothing.
        filled = np.resize(rows, self._size)
        weights = np.where(np.arange(self._size) < len(rows), self._weights[filled], 0.0)
        inputs = {name: array[filled, :width] for name, array in self._inputs.items()}
        return inputs, self._labels[filled], weights.astype("float32")

    def on_epoch_end(self) -> None:
        """Put the rows in another order."""
        self._epoch += 1
        self._batches = self._order()

    def _order(self) -> Sequence[np.ndarray]:
        """Sort rows into batches."""
        count, size = len(self._lengths), self._size
        if self._seed is None:
            order = np.arange(count)
        else:
            random = np.random.default_rng((self._seed, self._epoch))
            order = random.permutation(count)
            span = size * _SORTED_BATCHES
            parts = (order[start : start + span] for start in range(0, count, span))
            order = np.concatenate(
                [part[np.argsort(self._lengths[part], kind="stable")] for part in parts]
            )
        if self._seed is None:
            # Keras takes the mean of batches, so that they must be of the same size.
            batches = np.array_split(order, -(-count // size))
        else:
            batches = [order[start : start + size] for start in range(0, count, size)]
            batches = [batches[place] for place in random.permutation(len(batches))]
        # Keras on TensorFlow looks at two batches to see which sizes are open.
        widths = [self._width(rows) for rows in batches]
        other = next((place for place, width in enumerate(widths) if width != widths[0]), 0)
        if other > 1:
            batches[1], batches[other] = batches[other], batches[1]
        return batches

    def _width(self, rows: np.ndarray) -> int:
        """Return how many columns the longest of some rows needs."""
        return self._widths.padded(int(self._lengths[rows].max()))
