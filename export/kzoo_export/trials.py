"""Trials: the samples in the sizes that a file is verified at, and what the model gives for them.

A file with static shapes has one size. One with open axes is tried with several lengths, which are
cut from the samples, and with batches of several sizes.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from kzoo_export.samples import Samples
from kzoo_export.spec import OPEN, Signature, TensorSpec

# The shares of the samples' own length that open axes are cut to; odd lengths where there are any.
_SHARES = (1, 2, 4)
_BATCH_SIZES = (1, 3)

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Trial:
    """Samples of one length, the model's outputs on them, and the rows of a batch.

    `size` is the shape of a batch of the input with most open axes; of a file with static shapes,
    `None`.
    """

    samples: Samples
    outputs: Arrays
    batch_size: int
    size: tuple[int, ...] | None = None


def make_trials(
    inputs: Sequence[TensorSpec], samples: Samples, run: Callable[[Samples], Arrays]
) -> tuple[Trial, ...]:
    """Run a model on samples in every size that its file is verified at.

    Args:
        inputs: The inputs of the file.
        samples: What to run the model on.
        run: The model.

    Returns:
        The trials, that of single rows in full length first.
    """
    if not any(OPEN in entry.shape for entry in inputs):
        return (Trial(samples, run(samples), inputs[0].shape[0]),)
    batch_sizes = _BATCH_SIZES if inputs[0].shape[0] == OPEN else (inputs[0].shape[0],)
    first = max(inputs, key=lambda entry: entry.shape.count(OPEN))
    trials = []
    for cut in _cuts(inputs, samples):
        outputs = run(cut)
        trials += [
            Trial(cut, outputs, size, (size, *cut.arrays[first.name].shape[1:]))
            for size in batch_sizes
        ]
    return tuple(trials)


def _cuts(inputs: Sequence[TensorSpec], samples: Samples) -> Iterator[Samples]:
    """Cut the open axes of samples to several lengths, each once, the full one first."""
    seen = set()
    for share in _SHARES:
        arrays = {entry.name: _cut(entry, samples.arrays[entry.name], share) for entry in inputs}
        shapes = tuple(array.shape for array in arrays.values())
        if shapes not in seen:
            seen.add(shapes)
            yield dataclasses.replace(samples, arrays=arrays)


def _cut(entry: TensorSpec, array: np.ndarray, share: int) -> np.ndarray:
    """Keep the beginning of every open axis but the batch."""
    sizes = zip(entry.shape[1:], array.shape[1:], strict=True)
    kept = (own if share == 1 or size != OPEN else own // share + 1 for size, own in sizes)
    return array[(slice(None), *map(slice, kept))]


def with_traced_shapes(signature: Signature, arrays: Arrays) -> Signature:
    """Choose the shapes that a model with open axes is traced with.

    Args:
        signature: The signature of the file.
        arrays: Samples by input name.

    Returns:
        The signature with shapes in which no open axis is 1, which tracers take for a fixed size.
    """
    if signature.static:
        return signature
    shapes = {
        entry.name: tuple(
            max(own, 2) if size == OPEN else size
            for size, own in zip(entry.shape, (2, *arrays[entry.name].shape[1:]), strict=True)
        )
        for entry in signature.inputs
    }
    return dataclasses.replace(signature, traced_shapes=shapes)


def single_batch(inputs: Sequence[TensorSpec], arrays: Arrays) -> dict[str, np.ndarray]:
    """Cut one batch for timing: of as many rows as a file takes, of one where it takes any number.

    Args:
        inputs: The inputs of the file.
        arrays: Samples by input name.

    Returns:
        The batch.
    """
    return next(batches(arrays, max(1, inputs[0].shape[0])))


def batches(arrays: Arrays, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Cut rows into batches of one size; the last one is filled up by repeating its last row.

    Args:
        arrays: Arrays by name, equally many rows each.
        batch_size: Rows of every batch.

    Yields:
        One batch after the other.
    """
    num_rows = len(next(iter(arrays.values())))
    for start in range(0, num_rows, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), num_rows - 1)
        yield {name: array[rows] for name, array in arrays.items()}
