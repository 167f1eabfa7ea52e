"""Relative positions: a bias that is added to the scores, by the distance of query and key."""

import math
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.positions.static import as_positions, check_rank, executor, leave_heads
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class RelativeBias(keras.layers.Layer):
    """T5's relative bias: a learned number for each head and each bucket of distances.

    bias[n, t, s] = table[bucket(s - t), n]. Of the buckets of one direction, half are for the
    distances 0, 1, 2, ... one by one; the others grow geometrically until `max_distance`, and the
    last takes all that is further away.

    Args:
        num_heads: Number of heads, N.
        num_buckets: Number of buckets; even and at least 4 if the bias is bidirectional.
        max_distance: Where the last bucket begins, or a little before.
        bidirectional: Whether half of the buckets are for keys after the query. Otherwise these
            have the bucket of distance 0, because causal attention never sees them.
        init_std: Standard deviation of the initial table.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        query_positions: Integers (T,) or (B, T), the place of each query.
        key_positions: Integers (S,) or (B, S), the place of each key. None means the same places.

    Call returns:
        What to add to the scores: (1, N, T, S), or (B, N, T, S) if positions have a batch.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import RelativeBias
        >>> tuple(RelativeBias(num_heads=2)(np.arange(3), np.arange(5)).shape)
        (1, 2, 3, 5)

    References:
        Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text
        Transformer, 2019, section 2.1. https://arxiv.org/abs/1910.10683
    """

    rotate = leave_heads

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(
            num_heads=num_heads, num_buckets=num_buckets, max_distance=max_distance
        )
        check_positive_numbers(init_std=init_std)
        if num_buckets < 2 or (bidirectional and (num_buckets % 2 or num_buckets < 4)):
            expected = "even and at least 4" if bidirectional else "at least 2"
            raise ValueError(
                f"`num_buckets` must be {expected} if bidirectional={bidirectional}. "
                f"Received: num_buckets={num_buckets}"
            )
        exact = num_buckets // (4 if bidirectional else 2)
        if max_distance <= exact:
            raise ValueError(
                f"`max_distance` must be above {exact}, the distances that have a bucket each. "
                f"Received: max_distance={max_distance}"
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.init_std = init_std

    def build(self, query_positions_shape: Shape, key_positions_shape: Shape | None = None) -> None:
        """Create the table, and check the heads of a layer that attends."""
        check_heads(self.num_heads, query_positions_shape)
        self.table = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
            autocast=False,
            name="table",
        )

    def call(self, query_positions: Tensor, key_positions: Tensor | None = None) -> Tensor:
        """Return the bias; see the class."""
        keys = query_positions if key_positions is None else key_positions
        return keras.ops.cast(self.bias(query_positions, keys), self.compute_dtype)

    def bias(self, query_positions: Tensor, key_positions: Tensor, *heads: Tensor) -> Tensor:
        """Return what to add to the scores, for a layer that attends.

        Args:
            query_positions: Integers (T,) or (B, T).
            key_positions: Integers (S,) or (B, S). If both are NumPy arrays or ranges, the buckets
                are constants of the graph.
            *heads: Queries and keys, which do not matter.

        Returns:
            (1, N, T, S) or (B, N, T, S), float32.
        """
        relative = relative_positions(query_positions, key_positions)[:, 0]  # (1 or B, T, S)
        ops, limit = executor(relative), self.max_distance
        # A bucket is looked up by its distance, not computed: no graph rounds a logarithm.
        buckets = ops.take(
            distance_buckets(self.num_buckets, limit, self.bidirectional),
            ops.clip(relative, -limit, limit) + limit,
        )
        bias = keras.ops.take(self.table, buckets, axis=0)  # (1 or B, T, S, N)
        return keras.ops.transpose(bias, (0, 3, 1, 2))

    def bias_range(self, num_keys: Any) -> Any:
        """Return the largest difference between two buckets of one head; see `Position`."""
        table = keras.ops.convert_to_tensor(self.table)
        return keras.ops.max(keras.ops.max(table, axis=0) - keras.ops.min(table, axis=0))

    def compute_output_shape(
        self, query_positions_shape: Shape, key_positions_shape: Shape | None = None
    ) -> Shape:
        """Return (1, N, T, S) or (B, N, T, S)."""
        return bias_shape(self.num_heads, query_positions_shape, key_positions_shape)


def relative_positions(query_positions: Tensor, key_positions: Tensor) -> Tensor:
    """Return how far each key is after each query.

    Args:
        query_positions: Integers (T,) or (B, T).
        key_positions: Integers (S,) or (B, S).

    Returns:
        (1, 1, T, S) or (B, 1, T, S): NumPy if both are known, a tensor otherwise.
    """
    queries = as_positions("query_positions", query_positions)
    keys = as_positions("key_positions", key_positions)
    ops = executor(queries, keys)
    queries = ops.expand_dims(queries, (1, 3) if len(queries.shape) == 2 else (0, 1, 3))
    keys = ops.expand_dims(keys, (1, 2) if len(keys.shape) == 2 else (0, 1, 2))
    return ops.subtract(keys, queries)


def distance_buckets(
    num_buckets: int, max_distance: int, bidirectional: bool
) -> np.ndarray[Any, Any]:
    """Return the bucket of every distance from -max_distance (before the query) to max_distance.

    Args:
        num_buckets: Number of buckets.
        max_distance: What is further away has the bucket of this distance.
        bidirectional: Whether half of the buckets are for keys after the query.

    Returns:
        (2 * max_distance + 1,), int32.
    """
    count = num_buckets // 2 if bidirectional else num_buckets
    exact = count // 2
    distances = np.arange(max_distance + 1)
    growth = np.log(np.maximum(distances, 1) / exact) / math.log(max_distance / exact)
    far = np.minimum(exact + np.floor(growth * (count - exact)), count - 1)
    before = np.where(distances < exact, distances, far)
    after = before[1:] + count if bidirectional else np.zeros(max_distance)
    return np.concatenate([before[::-1], after]).astype("int32")


def bias_shape(num_heads: int, query_shape: Shape, key_shape: Shape | None) -> Shape:
    """Return the shape of the bias between such positions.

    Args:
        num_heads: Number of heads, N.
        query_shape: (T,) or (B, T).
        key_shape: (S,) or (B, S). None means the same places.

    Returns:
        (1, N, T, S), or (B, N, T, S) if positions have a batch.
    """
    key_shape = query_shape if key_shape is None else key_shape
    check_rank("query_positions", query_shape)
    check_rank("key_positions", key_shape)
    batch = query_shape[:-1] or key_shape[:-1] or (1,)
    return (*batch, num_heads, query_shape[-1], key_shape[-1])


def check_heads(num_heads: int, shape: Shape) -> None:
    """Require heads to be as many as the bias is for.

    Args:
        num_heads: Number of heads, N.
        shape: That of heads, (B, T, N, H), or of positions, which have fewer axes.

    Raises:
        ValueError: If there are more or fewer heads.
    """
    if len(shape) == 4 and shape[2] != num_heads:
        raise ValueError(
            f"`num_heads` must be that of the layer that attends, {shape[2]}. "
            f"Received: num_heads={num_heads}"
        )
