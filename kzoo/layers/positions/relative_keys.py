"""Relative positions as vectors: what they add to a score depends on the query and the key."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.attention.bias import length_of
from kzoo.layers.attention.masks import SCORE_RANGE
from kzoo.layers.positions.relative import relative_positions
from kzoo.layers.positions.static import executor, first_positions, leave_heads
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class RelativeKeys(keras.layers.Layer):
    """A learned vector for each distance, compared with the queries as a key is.

    bias[b, n, t, s] = Q[b, t, n] · a[d] / sqrt(H), with d = s - t, clipped to the distances that
    have a vector. With `compare_keys` the vector is compared with the key too:
    (Q[b, t, n] + K[b, s, n]) · a[d] / sqrt(H). All heads share the vectors.

    Args:
        max_distance: Largest distance that has a vector of its own, L.
        compare_keys: Whether the vectors are compared with the keys too.
        init_std: Standard deviation of the initial table.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        query: (B, T, N, H).
        key: (B, S, K, H), K divides N. None means the queries.
        query_positions: Integers (T,) or (B, T), the place of each query. None means 0 to T - 1.
        key_positions: Integers (S,) or (B, S), the place of each key. None means 0 to S - 1.

    Call returns:
        What to add to the scores, (B, N, T, S).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import RelativeKeys
        >>> tuple(RelativeKeys(max_distance=4)(np.ones((2, 5, 3, 8), "float32")).shape)
        (2, 3, 5, 5)

    References:
        Shaw et al., Self-Attention with Relative Position Representations, 2018, equation 4.
        https://arxiv.org/abs/1803.02155
        Huang et al., Improve Transformer Models with Better Relative Position Embeddings, 2020,
        method 4, equation 11 (`compare_keys`). https://arxiv.org/abs/2009.13658
    """

    rotate = leave_heads

    def __init__(
        self,
        max_distance: int,
        compare_keys: bool = False,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(max_distance=max_distance)
        check_positive_numbers(init_std=init_std)
        self.max_distance = max_distance
        self.compare_keys = compare_keys
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, query_shape: Shape, key_shape: Shape | None = None) -> None:
        """Create the table."""
        self.table = self.add_weight(
            shape=(2 * self.max_distance + 1, query_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
            name="table",
        )

    def call(
        self,
        query: Tensor,
        key: Tensor | None = None,
        query_positions: Tensor | None = None,
        key_positions: Tensor | None = None,
    ) -> Tensor:
        """Return the bias; see the class."""
        key = query if key is None else key
        if query_positions is None:
            query_positions = first_positions(length_of(query))
        if key_positions is None:
            key_positions = first_positions(length_of(key))
        return self.bias(query_positions, key_positions, query, key)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Carry no mask on: the bias is of pairs of positions."""

    def bias(
        self, query_positions: Tensor, key_positions: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        """Return what to add to the scores, for a layer that attends.

        Args:
            query_positions: Integers (T,) or (B, T).
            key_positions: Integers (S,) or (B, S).
            query: (B, T, N, H).
            key: (B, S, K, H).

        Returns:
            (B, N, T, S).
        """
        distances = relative_positions(query_positions, key_positions)[:, 0]  # (1 or B, T, S)
        limit = self.max_distance
        rows = executor(distances).clip(distances, -limit, limit) + limit
        vectors = keras.ops.take(self.table, rows, axis=0)  # (1 or B, T, S, H)
        bias = keras.ops.matmul(query, keras.ops.transpose(vectors, (0, 1, 3, 2)))  # (B, T, N, S)
        bias = keras.ops.transpose(bias, (0, 2, 1, 3))
        if self.compare_keys:
            of_keys = keras.ops.matmul(key, keras.ops.transpose(vectors, (0, 2, 3, 1)))
            of_keys = keras.ops.transpose(of_keys, (0, 2, 3, 1))  # (B, K, T, S)
            bias = bias + keras.ops.repeat(of_keys, query.shape[2] // key.shape[2], axis=1)
        return bias * query.shape[-1] ** -0.5

    def bias_range(self, num_keys: Any) -> float:
        """Return as much as scores are granted, for it is made of contents; see `Position`."""
        return SCORE_RANGE

    def compute_output_shape(
        self,
        query_shape: Shape,
        key_shape: Shape | None = None,
        query_positions_shape: Shape | None = None,
        key_positions_shape: Shape | None = None,
    ) -> Shape:
        """Return (B, N, T, S)."""
        keys = query_shape if key_shape is None else key_shape
        return (query_shape[0], query_shape[2], query_shape[1], keys[1])
