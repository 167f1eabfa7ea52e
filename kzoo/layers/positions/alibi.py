"""ALiBi: a bias that grows with the distance of query and key."""

import math
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_positive_integers
from kzoo.layers.positions.relative import bias_shape, check_heads, relative_positions
from kzoo.layers.positions.static import executor, leave_heads
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class AlibiBias(keras.layers.Layer):
    """ALiBi: each head subtracts its slope times the distance from the scores.

    bias[n, t, s] = -slope[n] * |t - s|, with the slopes 2^(-8/N), 2^(-16/N), ..., 2^-8. If N is not
    a power of two, the slopes are those of the power of two below, and then every second one of the
    power of two above. No weights.

    Args:
        num_heads: Number of heads, N.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        query_positions: Integers (T,) or (B, T), the place of each query.
        key_positions: Integers (S,) or (B, S), the place of each key. None means the same places.

    Call returns:
        What to add to the scores: (1, N, T, S), or (B, N, T, S) if positions have a batch.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import AlibiBias
        >>> bias = AlibiBias(num_heads=2)(np.arange(3))
        >>> np.asarray(bias)[0, 0].tolist()
        [[-0.0, -0.0625, -0.125], [-0.0625, -0.0, -0.0625], [-0.125, -0.0625, -0.0]]

    References:
        Press et al., Train Short, Test Long: Attention with Linear Biases Enables Input Length
        Extrapolation, 2021, section 3. https://arxiv.org/abs/2108.12409
    """

    rotate = leave_heads

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integers(num_heads=num_heads)
        self.num_heads = num_heads

    def build(self, query_positions_shape: Shape, key_positions_shape: Shape | None = None) -> None:
        """Check the heads of a layer that attends; there are no weights."""
        check_heads(self.num_heads, query_positions_shape)

    def call(self, query_positions: Tensor, key_positions: Tensor | None = None) -> Tensor:
        """Return the bias; see the class."""
        keys = query_positions if key_positions is None else key_positions
        return keras.ops.cast(self.bias(query_positions, keys), self.compute_dtype)

    def bias(self, query_positions: Tensor, key_positions: Tensor, *heads: Tensor) -> Tensor:
        """Return what to add to the scores, for a layer that attends.

        Args:
            query_positions: Integers (T,) or (B, T).
            key_positions: Integers (S,) or (B, S). If both are NumPy arrays or ranges, the bias is
                a constant of the graph.
            *heads: Queries and keys, which do not matter.

        Returns:
            (1, N, T, S) or (B, N, T, S), float32.
        """
        relative = relative_positions(query_positions, key_positions)
        distances = keras.ops.cast(executor(relative).abs(relative), "float32")
        return distances * keras.ops.cast(-alibi_slopes(self.num_heads)[:, None, None], "float32")

    def bias_range(self, num_keys: Any) -> Any:
        """Return the largest slope times the largest distance of S keys; see `Position`."""
        return float(alibi_slopes(self.num_heads).max()) * (num_keys - 1)

    def compute_output_shape(
        self, query_positions_shape: Shape, key_positions_shape: Shape | None = None
    ) -> Shape:
        """Return (1, N, T, S) or (B, N, T, S)."""
        return bias_shape(self.num_heads, query_positions_shape, key_positions_shape)


def alibi_slopes(num_heads: int) -> np.ndarray[Any, Any]:
    """Return the slope of each head.

    Args:
        num_heads: Number of heads, N.

    Returns:
        (N,), float64.
    """
    below = 2 ** int(math.log2(num_heads))
    slopes = 2.0 ** (-8 * np.arange(1, below + 1) / below)
    between = 2.0 ** (-8 * np.arange(1, 2 * below, 2) / (2 * below))
    return np.concatenate([slopes, between])[:num_heads]
