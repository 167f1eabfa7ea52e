"""The memory of tensors: those that live at once lie beside each other."""

import hypothesis
import pytest
from hypothesis import strategies

from kzoo_export.artifact.arena import Lifetime, estimate_arena

pytestmark = pytest.mark.once

lifetimes = strategies.lists(
    strategies.builds(
        lambda size, first, length: Lifetime(size, first, first + length),
        strategies.integers(1, 10_000),
        strategies.integers(0, 12),
        strategies.integers(0, 6),
    ),
    max_size=12,
)


def test_chain_reuses_its_memory() -> None:
    # Of a chain, only what an operation reads and what it computes live at once.
    chain = [Lifetime(640, place, place + 1) for place in range(10)]
    assert estimate_arena(chain) == 2 * 640


def test_sizes_are_aligned() -> None:
    assert estimate_arena([Lifetime(1, 0, 1), Lifetime(65, 1, 2)]) == 64 + 128
    assert estimate_arena([]) == 0


@hypothesis.given(lifetimes)
def test_estimate_lies_between_its_bounds(tensors: list[Lifetime]) -> None:
    sizes = [-(-tensor.size // 64) * 64 for tensor in tensors]
    steps = range(max((tensor.last for tensor in tensors), default=0) + 1)
    live = [
        sum(
            size for size, each in zip(sizes, tensors, strict=True) if each.first <= at <= each.last
        )
        for at in steps
    ]
    assert max(live) <= estimate_arena(tensors) <= sum(sizes)
