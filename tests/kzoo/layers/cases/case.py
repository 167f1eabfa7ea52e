"""One layer as the contract tries it, and the arrays that the cases share."""

from typing import Any, NamedTuple

import keras
import numpy as np

from tests.arrays import Inputs
from tests.checks import Oracle

B, T, S, D, V, P = 2, 5, 7, 8, 11, 3

random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
CONTEXT = random.normal(size=(B, S, 6)).astype("float32")
TABLE = random.normal(size=(V, D)).astype("float32")
TOKEN_IDS = random.integers(0, V, (B, T)).astype("int32")
SEGMENT_IDS = random.integers(0, 2, (B, T)).astype("int32")
IMAGES = np.random.default_rng(1).normal(size=(B, 4, 6, 3)).astype("float32")
MASK_POSITIONS = random.integers(0, T, (B, P)).astype("int32")
PADDING_MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], "int32")  # one row has no real token
CAUSAL_MASK = np.tril(np.ones((B, T, T), bool))
CONTEXT_MASK = np.array([[1, 1, 1, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1, 0]], bool)


class Case(NamedTuple):
    """Layers among the arguments are templates, which are never built: many tests can use them."""

    layer: type[keras.layers.Layer]
    arguments: dict[str, Any]
    inputs: Inputs
    oracle: Oracle
    fixed: tuple[str, ...] = ()

    def make(self, **kwargs: Any) -> keras.layers.Layer:
        """Return a new layer, all its parts new."""
        return self.layer(**{n: renewed(v) for n, v in self.arguments.items()}, **kwargs)


def renewed(value: Any) -> Any:
    """Return a new layer in place of a layer."""
    if isinstance(value, keras.layers.Layer):
        return type(value).from_config(value.get_config())
    return value
