"""Names for the two types that every layer's signature speaks of."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the active backend, or a `keras.KerasTensor` while a functional model is built."""

Shape: TypeAlias = tuple[Any, ...]
"""The static shape of a tensor: integers, and `None` for an axis whose size varies."""
