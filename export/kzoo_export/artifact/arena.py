"""How much memory the tensors of a graph need while it runs, estimated from when each is needed."""

from collections.abc import Sequence
from typing import NamedTuple

_ALIGNMENT = 64


class Lifetime(NamedTuple):
    """The bytes of a tensor, the operation that computes it and the last one that reads it."""

    size: int
    first: int
    last: int


def estimate_arena(tensors: Sequence[Lifetime]) -> int:
    """Place tensors in one piece of memory, in which those that live at once do not overlap.

    The largest is placed first, each at the lowest offset where it fits (Pisarchyk and Lee, 2020,
    Efficient Memory Management for Deep Neural Net Inference, section 5.2), as LiteRT does. What
    kernels need besides, and constants, are not in it.

    Args:
        tensors: All tensors that are computed or given.

    Returns:
        Bytes.
    """
    placed: list[tuple[int, int, Lifetime]] = []
    for tensor in sorted(tensors, key=lambda each: -each.size):
        start = 0
        size = -(-tensor.size // _ALIGNMENT) * _ALIGNMENT
        for taken, end, other in placed:
            at_once = other.first <= tensor.last and tensor.first <= other.last
            if at_once and taken < start + size and start < end:
                start = end
        placed.append((start, start + size, tensor))
        placed.sort(key=lambda each: each[:2])
    return max((end for _, end, _ in placed), default=0)
