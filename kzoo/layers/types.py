"""Names for what every layer's signature speaks of."""

from typing import Any, Protocol, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the active backend, or a `keras.KerasTensor` while a functional model is built."""

Shape: TypeAlias = tuple[Any, ...]
"""The static shape of a tensor: integers, and `None` for an axis whose size varies."""


class Position(Protocol):
    """What attention asks of the layer that tells it the order of its tokens.

    Positions are integers, (T,) or (B, T), NumPy arrays where they are known before the layer runs.
    """

    def rotate(self, heads: Tensor, positions: Tensor) -> Tensor:
        """Return queries or keys (B, T, any number of heads, H) that know their positions."""

    def bias(
        self, query_positions: Tensor, key_positions: Tensor, query: Tensor, key: Tensor
    ) -> Tensor | None:
        """Return what is added to the scores, (1 or B, N or 1, T, S), or None.

        A bias may depend on contents: the rotated queries (B, T, N, H) and keys (B, S, K, H).
        """

    def bias_range(self, num_keys: Any) -> Any:
        """Return the largest difference between two biases of one row, for S keys.

        A number, or a scalar tensor where it follows from weights; 0.0 if `bias` returns None. A
        bias that depends on contents has no bound: its range is then what scores are granted,
        `kzoo.layers.attention.masks.SCORE_RANGE`.
        """
