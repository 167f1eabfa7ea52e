"""Positions."""

import math

import numpy as np

from tests.reference.basics import Array, Weights


def sinusoidal_positions(
    weights: Weights, hidden: Array, *, max_wavelength: float = 10000.0
) -> Array:
    length, width = hidden.shape[1:]
    table = np.zeros((length, width))
    for time in range(length):
        for i in range(width // 2):
            angle = time / max_wavelength ** (2 * i / width)
            table[time, 2 * i], table[time, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


def learned_positions(weights: Weights, hidden: Array) -> Array:
    return weights["table"][: hidden.shape[1]]
