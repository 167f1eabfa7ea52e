"""Which weights get 8 bits where all others have 4."""

from collections.abc import Callable, Mapping

from kzoo_export.gptq import Choice


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
    for name in sorted(rounded, key=loss, reverse=True) if share else ():
        if sizes[name] <= room:
            chosen.add(name)
            room -= sizes[name]
    return frozenset(chosen)
