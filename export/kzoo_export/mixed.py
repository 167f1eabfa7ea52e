"""Which weights get 8 bits where all others have 4."""

from collections.abc import Callable, Mapping

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
