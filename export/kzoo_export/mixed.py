"""Which weights or operations get more bits than all others."""

import bisect
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from kzoo_export.gptq import Choice
from kzoo_export.recipe import DYNAMIC_INT4, DYNAMIC_INT8, Numbers


def widen(
    chosen: dict[Numbers, set[str]],
    rounded: Mapping[str, Choice],
    loss: Callable[[str], float],
    share: float,
) -> dict[str, Choice]:
    """Give 8 bits to the weights of dense layers that lose most by 4.

    Args:
        chosen: The names of the weights by the numbers they get, changed in place.
        rounded: The weights in 4 bits, by name.
        loss: Measures what the outputs lose where one weight alone has 4 bits.
        share: The part of the numbers of dense layers that may have 8 bits.

    Returns:
        The weights that keep 4 bits.
    """
    dense = {name: rounded[name] for name in sorted(chosen[DYNAMIC_INT4])}
    wide = choose_wide(dense, loss, share)
    chosen[DYNAMIC_INT4] -= wide
    chosen[DYNAMIC_INT8] |= wide
    return {name: choice for name, choice in rounded.items() if name not in wide}


def choose_wide(
    rounded: Mapping[str, Choice], loss: Callable[[str], float], share: float
) -> frozenset[str]:
    """Choose the weights that lose most, as many as fit into a share of all their numbers.

    Args:
        rounded: The weights in 4 bits, by name.
        loss: Measures what the outputs lose where one weight alone has 4 bits.
        share: The part of all numbers that may have 8 bits.

    Returns:
        The names of the chosen weights.
    """
    sizes = {name: choice.rounded.elements.size for name, choice in rounded.items()}
    room = share * sum(sizes.values())
    chosen = set()
    for name in sorted(rounded, key=loss, reverse=True):
        if sizes[name] <= room:
            chosen.add(name)
            room -= sizes[name]
    return frozenset(chosen)


def fewest(
    groups: Iterable[list[str]],
    loss: Callable[[list[str]], float],
    holds: Callable[[list[str]], bool],
) -> list[str]:
    """Choose the groups that lose most, as few as hold a bound.

    Args:
        groups: Names that get more bits together.
        loss: Measures what the outputs lose where one group alone has few bits.
        holds: Tells whether the bound holds where names have more bits.

    Returns:
        The names in the chosen groups: those of all groups where no choice holds the bound.
    """
    ordered = sorted(groups, key=loss, reverse=True)
    first = [list(itertools.chain(*ordered[:count])) for count in range(len(ordered) + 1)]
    return first[bisect.bisect_left(range(len(ordered)), True, key=lambda n: holds(first[n]))]


def most_trials(names: Collection[str]) -> int:
    """Count the losses that are measured to choose the fewest names: of groups, then one by one.

    Args:
        names: The names.

    Returns:
        The most losses there can be, that of no name in more bits included.
    """
    counts = len(alike(names)), len(names)
    return 1 + sum(count + (count + 1).bit_length() for count in counts)


def alike(names: Iterable[str]) -> list[list[str]]:
    """Put names together that differ in numbers alone: one operation of every block.

    Args:
        names: The names.

    Returns:
        The groups.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\d+", "", name), []).append(name)
    return list(groups.values())
