"""Trials: the samples in the sizes that a file is verified at, and what the model gives for them.

A file with static shapes has one size. One with open axes is tried with several lengths, which are
cut from the samples, and with batches of several sizes.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set

import numpy as np

from kzoo_export.errors import beginning
from kzoo_export.samples import Samples
from kzoo_export.spec import OPEN, Signature, TensorSpec

# What the lengths of the first, second, ... open axis of an input are divided by, for each cut: two
# axes of one input, such as height and width, do not stay equal.
_DIVISORS = ((1, 1), (2, 4), (4, 2))
_SHORTEST = 3
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
    inputs: Sequence[TensorSpec],
    samples: Samples,
    run: Callable[[Samples], Arrays],
    masks: Set[str] = frozenset(),
    indices: Set[str] = frozenset(),
) -> tuple[Trial, ...]:
    """Run a model on samples in every size that its file is verified at.

    Args:
        inputs: The inputs of the file.
        samples: What to run the model on.
        run: The model.
        masks: The inputs that are padding masks: of samples that are padded in front, the ends are
            kept.
        indices: The inputs whose integers may be places in an open axis: they wrap around at the
            length that is left.

    Returns:
        The trials, those in full length first.

    Raises:
        ValueError: If the samples are too short to be cut, or the model cannot be run on a cut.
    """
    batch_size = inputs[0].shape[0]
    if not any(OPEN in entry.shape for entry in inputs):
        return (Trial(samples, run(samples), batch_size),)
    batch_sizes = _BATCH_SIZES if batch_size == OPEN else (batch_size,)
    most = max(inputs, key=lambda entry: entry.shape.count(OPEN))
    lengths = (samples.arrays[most.name].shape[axis] for axis in _open_axes(most))
    if min(lengths, default=_SHORTEST) < _SHORTEST:
        raise ValueError(
            f"`samples[{most.name!r}]` must have at least {_SHORTEST} elements along each open "
            "axis, to be tried at several lengths. "
            f"Received: shape={samples.arrays[most.name].shape}"
        )
    trials: list[Trial] = []
    for cut in _cuts(inputs, samples, masks, indices):
        shape = cut.arrays[most.name].shape[1:]
        outputs = run(cut) if not trials else _run_cut(run, cut, shape)
        trials += [Trial(cut, outputs, rows, (rows, *shape)) for rows in batch_sizes]
    return tuple(trials)


def trials_by_kinds(
    inputs: Sequence[TensorSpec],
    samples: Samples,
    run: Callable[[Samples], Arrays],
    kinds: Mapping[str, str],
    tables: Collection[str] = (),
) -> tuple[Trial, ...]:
    """Run a model on samples in every size, with what is known of its inputs.

    Args:
        inputs: The inputs of the file.
        samples: What to run the model on.
        run: The model.
        kinds: The kinds of inputs, by name. Integers of no known kind may be places.
        tables: Inputs that are known to be ids of a table.

    Returns:
        The trials, those in full length first.
    """
    masks = {name for name, kind in kinds.items() if kind == "mask"}
    integers = {entry.name for entry in inputs if not entry.dtype.startswith("float")}
    return make_trials(inputs, samples, run, masks, integers - {*kinds, *tables})


def _run_cut(run: Callable[[Samples], Arrays], cut: Samples, shape: tuple[int, ...]) -> Arrays:
    """Run a model on samples that were cut, and say so where it cannot."""
    try:
        return run(cut)
    except Exception as error:  # Each backend has its own.
        raise ValueError(
            "`length` must be a number: the model cannot be run on samples of the shape "
            f"{shape}, to which they were cut. Received: length=None ({beginning(str(error))})"
        ) from error


def _cuts(
    inputs: Sequence[TensorSpec], samples: Samples, masks: Set[str], indices: Set[str]
) -> Iterator[Samples]:
    """Cut the open axes of samples to several lengths, each once, the full one first."""
    at_end = any((samples.arrays[name][:, 0] == 0).any() for name in masks)
    seen = set()
    for divisors in _DIVISORS:
        arrays, lengths = dict(samples.arrays), []
        for entry in inputs:
            for axis, divisor in zip(_open_axes(entry), itertools.cycle(divisors), strict=False):
                length = arrays[entry.name].shape[axis]
                kept = length if divisor == 1 else length // divisor + 1
                start = length - kept if at_end else 0
                arrays[entry.name] = arrays[entry.name].take(range(start, start + kept), axis)
                lengths.append(kept)
        for name in indices if lengths else ():
            arrays[name] = arrays[name] % min(lengths)
        shapes = tuple(array.shape for array in arrays.values())
        if shapes not in seen:
            seen.add(shapes)
            yield dataclasses.replace(samples, arrays=arrays)


def _open_axes(entry: TensorSpec) -> list[int]:
    """List the open axes but the batch."""
    return [axis for axis, size in enumerate(entry.shape) if axis and size == OPEN]


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
        entry.name: entry.filled((2, *(max(n, 2) for n in arrays[entry.name].shape[1:]))).shape
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


def run_rows(
    call: Callable[[dict[str, np.ndarray]], Arrays], arrays: Arrays, batch_size: int
) -> dict[str, np.ndarray]:
    """Run every row, a batch at a time.

    Args:
        call: Computes outputs by name of a batch.
        arrays: Arrays by name, equally many rows each.
        batch_size: Rows of every batch.

    Returns:
        The outputs by name, with as many rows.
    """
    made = [call(batch) for batch in batches(arrays, batch_size)]
    num_rows = len(next(iter(arrays.values())))
    return {
        name: np.concatenate([np.asarray(each[name]) for each in made])[:num_rows]
        for name in made[0]
    }


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
