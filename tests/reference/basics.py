"""What the oracles are made of."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]

_erf = np.vectorize(math.erf, otypes=[np.float64])

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def inside(weights: Weights, name: str) -> Weights:
    """Return the weights of a sub-layer, by their path inside it."""
    prefix = f"{name}/"
    return {path.removeprefix(prefix): w for path, w in weights.items() if path.startswith(prefix)}


def affine(weights: Weights, inputs: Array) -> Array:
    return inputs @ weights["kernel"] + weights.get("bias", 0.0)


def softmax(scores: Array) -> Array:
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
