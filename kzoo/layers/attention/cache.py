"""The keys and values of a sequence that is decoded step by step, in arrays of fixed size."""

from typing import Any, TypeAlias

import keras
import numpy as np

from kzoo.layers.types import Tensor

Cache: TypeAlias = dict[str, Tensor]
"""`key` and `value`, each (B, L, K, H) for sequences of at most L tokens."""


def empty_cache(
    batch_size: int, length: int, num_kv_heads: int, head_dim: int, dtype: str
) -> Cache:
    """Return a cache that holds nothing yet.

    Args:
        batch_size: Number of sequences, B.
        length: The longest sequence, L.
        num_kv_heads: Number of heads of the keys and values, K.
        head_dim: Width of a head, H.
        dtype: Dtype of the keys and values.

    Returns:
        The cache, all zeros.
    """
    shape = (batch_size, length, num_kv_heads, head_dim)
    return {name: keras.ops.zeros(shape, dtype) for name in ("key", "value")}


def as_start(start: Any) -> Any:
    """Return the number of tokens in a cache as attention computes with it.

    Args:
        start: An integer of Python or NumPy, or a scalar integer tensor.

    Returns:
        A Python integer, or an int32 scalar tensor.

    Raises:
        ValueError: If it is no integer, or not a scalar.
    """
    if isinstance(start, int | np.integer) and not isinstance(start, bool):
        return int(start)
    shape, dtype = getattr(start, "shape", None), getattr(start, "dtype", None)
    if shape is None or tuple(shape) != () or "int" not in keras.backend.standardize_dtype(dtype):
        raise ValueError(
            f"`start` must be an integer or a scalar integer tensor. Received: {start}"
        )
    return keras.ops.cast(start, "int32")


def update_cache(cache: Cache, key: Tensor, value: Tensor, start: Any) -> Cache:
    """Return a cache with the keys and values of further tokens.

    Tokens that have no room raise an error where `start` is known: anywhere but in a compiled
    graph. There they are left out, and what the cache holds is kept.

    Args:
        cache: The cache of what precedes them.
        key: (B, T, K, H).
        value: (B, T, K, H).
        start: The position of the first of them, as `as_start` returns it.

    Returns:
        A cache of the same shape.

    Raises:
        ValueError: If they do not fit, where that is known.
    """
    length, added = cache["key"].shape[1], keras.ops.shape(key)[1]
    known = _known(start)
    first = 0 if known is None else known
    if isinstance(added, int) and not 0 <= first <= length - added:
        raise ValueError(
            f"The cache must have room for `start` + T tokens; its length is {length}. "
            f"Received: start={known}, T={added}"
        )
    new = {"key": key, "value": value}
    if known is None:
        new, start = _fitting(cache, new, start, length, added)
    return {
        name: keras.ops.slice_update(cache[name], (0, start, 0, 0), tensor)
        for name, tensor in new.items()
    }


def _known(start: Any) -> int | None:
    """Return the value of a scalar, None for one of a graph that is being traced."""
    if isinstance(start, int):
        return start
    try:
        return int(keras.ops.convert_to_numpy(start))
    except (TypeError, RuntimeError):  # each backend says in its own way that there is no value yet
        return None


def _fitting(
    cache: Cache, new: Cache, start: Tensor, length: int, added: Any
) -> tuple[Cache, Tensor]:
    """Replace new keys and values that have no room by those that the cache holds.

    Updates of a slice beyond the end move it, or fail: T positions that exist are updated instead,
    with the old content where no new token belongs.
    """
    first = keras.ops.clip(start, 0, length - added)
    positions = keras.ops.arange(added, dtype="int32") + first
    tokens = positions - start  # which of the new tokens belongs at each position
    belongs = keras.ops.logical_and(tokens >= 0, tokens < added)
    belongs = keras.ops.reshape(keras.ops.cast(belongs, "int32"), (1, -1, 1, 1)) > 0
    tokens = keras.ops.clip(tokens, 0, added - 1)
    fitting = {
        name: keras.ops.where(
            belongs,
            keras.ops.take(tensor, tokens, axis=1),
            keras.ops.take(cache[name], positions, axis=1),
        )
        for name, tensor in new.items()
    }
    return fitting, first
