"""Labels of samples: what the accuracy of a classifier is measured with."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kzoo.problems import BY_KIND, Problem
from kzoo_export.given import to_array
from kzoo_export.spec import Signature


@dataclasses.dataclass(frozen=True)
class Classes:
    """What an output (B, C) tells: of which problem, C labels, and their names where known."""

    output: str
    count: int
    problem: Problem
    names: tuple[str, ...] = ()

    def read(self, y: Any, argument: str) -> np.ndarray:
        """Turn labels into what the problem scores logits with.

        Args:
            y: Names, or indices (N,) or (N, 1), or one-hot rows (N, C), of classes of which each
                sample has one; else what the problem itself reads.
            argument: What the samples are called, for messages.

        Returns:
            int64 (N,), or as the problem has it.

        Raises:
            ValueError: If a label is no class.
        """
        if self.problem.name != "single_label":
            known = self.names or tuple(map(str, range(self.count)))
            labels = y if isinstance(y, list | tuple) else to_array(y)
            return self.problem.read(f"labels of {argument}", labels, known)
        array = to_array(y)
        if array.dtype.kind in "UO" and array.ndim == 1:
            return np.array([self._index(name, argument) for name in array.tolist()], "int64")
        if array.shape[1:] == (self.count,) and self._one_hot(array):
            return np.asarray(array.argmax(axis=1))
        if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or array.size != len(array):
            raise ValueError(
                f"`{argument}` must have one label a sample, a name or an index of the classes of "
                f"{self.output!r}, or leave the labels out. Received: labels of the shape "
                f"{array.shape} and the dtype {array.dtype}"
            )
        indices = array.reshape(-1)
        wrong = np.flatnonzero(~np.isin(indices, np.arange(self.count)))
        if len(wrong):
            raise ValueError(
                f"`{argument}` must have labels from 0 to {self.count - 1}, the classes of "
                f"{self.output!r}. Received: {indices[wrong[0]]} at {wrong[0]}"
            )
        return indices.astype("int64")

    def _index(self, name: Any, argument: str) -> int:
        if name not in self.names:
            known = ", ".join(map(repr, self.names)) or "indices: this model has no names of them"
            raise ValueError(
                f"`{argument}` must have labels of the model, {known}. Received: {name!r}"
            )
        return self.names.index(name)

    def _one_hot(self, array: np.ndarray) -> bool:
        ones, zeros = (array == 1).sum(axis=1), (array == 0).sum(axis=1)
        return bool((ones == 1).all() and (zeros == self.count - 1).all())


def find_classes(signature: Signature, names: Sequence[str] | None = None) -> Classes | None:
    """Find what the labels of samples are labels of.

    Args:
        signature: The inputs and outputs of a file, with their kinds.
        names: The names of the model's classes, where it has any.

    Returns:
        The classes of the only output that is of a problem; `None` where there is none, or several.
    """
    kinds = signature.output_kinds
    found = [
        Classes(entry.name, entry.shape[1], problem)
        for entry in signature.outputs
        if (problem := BY_KIND.get(kinds.get(entry.name, "")))
        and len(entry.shape) == 2
        and problem.fits(entry.shape[1])
    ]
    if len(found) != 1:
        return None
    fits = names is not None and len(names) == found[0].count
    return dataclasses.replace(found[0], names=tuple(names or ()) if fits else ())
