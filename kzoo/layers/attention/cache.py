"""The keys and values of a sequence that is decoded step by step, in arrays of fixed size."""

from typing import Any, TypeAlias

import keras

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


def update_cache(cache: Cache, key: Tensor, value: Tensor, start: Any) -> Cache:
    """Return a cache with the keys and values of further tokens.

    Args:
        cache: The cache of what precedes them.
        key: (B, T, K, H).
        value: (B, T, K, H).
        start: The place of the first of them: an integer or a scalar tensor.

    Returns:
        A cache of the same shape.

    Raises:
        ValueError: If they do not fit, where that is known before the graph runs.
    """
    length, added = cache["key"].shape[1], key.shape[1]
    if isinstance(start, int) and added is not None and start + added > length:
        raise ValueError(
            f"The cache must have room for `start` + T tokens; its length is {length}. "
            f"Received: start={start}, T={added}"
        )
    return {
        name: keras.ops.slice_update(cache[name], (0, start, 0, 0), new)
        for name, new in (("key", key), ("value", value))
    }
