"""Texts that a tiny classifier learns."""

import numpy as np


def letters(count, seed=0):
    """Texts of different lengths whose label is their first letter."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    # Long and short: two widths of batches, which are compiled.
    sizes = generator.choice([1, 2, 4, 28], count)
    words = ["".join(generator.choice(list("defgh"), size)) for size in sizes]
    return [f"{'abc'[y]} {word}" for y, word in zip(labels, words, strict=True)], [
        "abc"[y] for y in labels
    ]
