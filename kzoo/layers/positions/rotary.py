"""Rotary positions: queries and keys turn by an angle that grows with their place."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_positive_integers, check_positive_numbers, check_types
from kzoo.layers.positions.rope_scaling import RopeScaling, rope_scaling
from kzoo.layers.positions.static import as_positions, check_rank, executor, first_positions
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class RotaryPositions(keras.layers.Layer):
    """Rotary positions (RoPE): each pair of dimensions of a head turns like the hand of a clock.

    Dimensions i and i + R/2 of the token at position t turn by t * theta^(-2i/R), with R the rotary
    width: x_i' = x_i cos - x_(i+R/2) sin and x_(i+R/2)' = x_(i+R/2) cos + x_i sin. The product of a
    query and a key then depends on their contents and their distance alone. No weights. With
    `interleaved` the pairs are the dimensions 2i and 2i + 1, as in the paper and in GPT-J.

    `scaling` reads longer texts than the model was trained on, `original_max_length` tokens:

    * `{"type": "linear", "factor"}`: every frequency over the factor.
    * `{"type": "dynamic", "factor", "original_max_length"}`: theta grows with the last position of
      the call (NTK). Keys that a cache already holds keep the angles they were stored with.
    * `{"type": "yarn", "factor", "original_max_length"}`: high frequencies stay, low ones are
      divided, those between are blended. Also takes `attention_factor`, `beta_fast`, `beta_slow`,
      `truncate`, `mscale` and `mscale_all_dim`.
    * `{"type": "llama3", "factor", "original_max_length", "low_freq_factor", "high_freq_factor"}`:
      the same idea with the bounds of Llama 3.
    * `{"type": "longrope", "short_factor", "long_factor", "original_max_length"}`: each frequency
      over its own factor, R/2 of them. Also takes `factor` and `attention_factor`.

    The settings may have the names of a checkpoint's `rope_scaling`: `rope_type`,
    `original_max_position_embeddings`.

    Args:
        rope_theta: The base of the frequencies, theta.
        scaling: None, or the type of scaling and its parameters.
        rotary_dim: How many dimensions of a head turn, R; even. The others stay as they are. None
            turns all.
        interleaved: Whether neighbors are the pairs, not dimensions half of R apart.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        heads: (B, T, N, H), queries or keys.
        positions: Integers (T,) or (B, T), the place of each token. None counts from 0.

    Call returns:
        The rotated heads, (B, T, N, H).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import RotaryPositions
        >>> heads = np.ones((2, 5, 3, 8), "float32")
        >>> tuple(RotaryPositions(scaling={"type": "linear", "factor": 2.0})(heads).shape)
        (2, 5, 3, 8)

    References:
        Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021, equation 34.
        https://arxiv.org/abs/2104.09864
        Chen et al., Extending Context Window of Large Language Models via Positional Interpolation,
        2023, equation 4 (linear). https://arxiv.org/abs/2306.15595
        Peng et al., YaRN: Efficient Context Window Extension of Large Language Models, 2023,
        section 3 and appendix A (dynamic, YaRN). https://arxiv.org/abs/2309.00071
        Grattafiori et al., The Llama 3 Herd of Models, 2024, section 3.2 (llama3).
        https://arxiv.org/abs/2407.21783
        Ding et al., LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens, 2024, equation
        2 (longrope). https://arxiv.org/abs/2402.13753
    """

    def __init__(
        self,
        rope_theta: float = 10000.0,
        scaling: Mapping[str, Any] | None = None,
        rotary_dim: int | None = None,
        interleaved: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(rope_theta=rope_theta)
        if rope_theta <= 1:
            raise ValueError(f"`rope_theta` must be above 1. Received: rope_theta={rope_theta}")
        if rotary_dim is not None:
            check_positive_integers(rotary_dim=rotary_dim)
            if rotary_dim % 2:
                raise ValueError(f"`rotary_dim` must be even. Received: rotary_dim={rotary_dim}")
        self.rope_theta = rope_theta
        self.scaling = scaling
        check_types(bool, interleaved=interleaved)
        self.rotary_dim = rotary_dim
        self.interleaved = interleaved
        self.supports_masking = True
        self._scaling: Any = None if scaling is None else rope_scaling(scaling)

    def call(self, heads: Tensor, positions: Tensor | None = None) -> Tensor:
        """Rotate; see the class."""
        if positions is None:
            positions = first_positions(keras.ops.shape(heads)[1])
        return self.rotate(heads, positions)

    def rotate(self, heads: Tensor, positions: Tensor) -> Tensor:
        """Rotate queries or keys, for a layer that attends.

        Args:
            heads: (B, T, N, H).
            positions: Integers (T,) or (B, T). The angles are constants of the graph if this is a
                NumPy array or a range, and computed in float32 if it is a tensor.

        Returns:
            The rotated heads, of the same shape and dtype.
        """
        positions = as_positions("positions", positions)
        rotary_dim = self._rotary_dim(heads.shape, positions.shape)
        settings = heads.shape[-1], rotary_dim, self.rope_theta, self._scaling, self.interleaved
        if isinstance(positions, np.ndarray) and positions.ndim == 1:
            tables = _known_tables(tuple(positions.tolist()), *settings)
        else:
            tables = rotary_tables(positions, *settings)
        dtype = keras.backend.standardize_dtype(heads.dtype)
        cosines, sines = (keras.ops.cast(table, dtype) for table in tables)
        return rotate(heads, cosines, sines, rotary_dim, self.interleaved)

    def bias(self, query_positions: Tensor, key_positions: Tensor, *heads: Tensor) -> None:
        """Add nothing to the scores, for a layer that attends.

        Args:
            query_positions: Integers (T,) or (B, T).
            key_positions: Integers (S,) or (B, S).
            *heads: Queries and keys, which do not matter.
        """

    def bias_range(self, num_keys: Any) -> float:
        """Return 0.0: there is no bias.

        Args:
            num_keys: Number of keys, S.

        Returns:
            0.0.
        """
        return 0.0

    def compute_output_shape(
        self, heads_shape: Shape, positions_shape: Shape | None = None
    ) -> Shape:
        """Return the shape of the heads."""
        self._rotary_dim(heads_shape, positions_shape)
        return heads_shape

    def _rotary_dim(self, heads_shape: Shape, positions_shape: Shape | None) -> int:
        """Return how many dimensions of such heads turn."""
        heads_shape = tuple(heads_shape)
        if len(heads_shape) != 4:
            raise ValueError(
                f"`heads` must have shape (B, T, N, H). Received: heads.shape={heads_shape}"
            )
        head_dim = heads_shape[-1]
        rotary_dim = head_dim if self.rotary_dim is None else self.rotary_dim
        if rotary_dim > head_dim or rotary_dim % 2:
            raise ValueError(
                "The width of a head must be even and at least `rotary_dim`. "
                f"Received: heads.shape={heads_shape}, rotary_dim={self.rotary_dim}"
            )
        if positions_shape is not None:
            check_rank("positions", positions_shape)
            lengths = heads_shape[1], positions_shape[-1]
            if all(isinstance(length, int) for length in lengths) and len(set(lengths)) > 1:
                raise ValueError(
                    "`positions` must have one position for each token. Received: "
                    f"heads.shape={heads_shape}, positions.shape={tuple(positions_shape)}"
                )
        return rotary_dim


def rotate(
    heads: Tensor, cosines: Tensor, sines: Tensor, rotary_dim: int, interleaved: bool = False
) -> Tensor:
    """Turn the pairs of dimensions of each head.

    Args:
        heads: (B, T, N, H).
        cosines: Broadcasts to the heads.
        sines: Broadcasts to the heads; negative for the first dimension of each pair.
        rotary_dim: R.
        interleaved: Whether the pairs are the dimensions 2i and 2i + 1, not i and i + R/2.

    Returns:
        The rotated heads, (B, T, N, H).
    """
    if interleaved:
        partners = np.arange(heads.shape[-1], dtype="int32")
        partners[:rotary_dim] ^= 1  # 1, 0, 3, 2, ...
        return heads * cosines + keras.ops.take(heads, partners, axis=-1) * sines
    ends = [rotary_dim // 2, rotary_dim][: 1 if rotary_dim == heads.shape[-1] else 2]
    first, second, *rest = keras.ops.split(heads, ends, axis=-1)
    return heads * cosines + keras.ops.concatenate([second, first, *rest], axis=-1) * sines


def rotary_tables(
    positions: Tensor,
    head_dim: int,
    rotary_dim: int,
    rope_theta: float,
    scaling: RopeScaling | None = None,
    interleaved: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the cosines and the sines that `rotate` multiplies by.

    Args:
        positions: Integers (T,) or (B, T).
        head_dim: Width of a head, H.
        rotary_dim: How many dimensions turn, R.
        rope_theta: The base of the frequencies.
        scaling: How the frequencies are scaled.
        interleaved: Whether the pairs are the dimensions 2i and 2i + 1, not i and i + R/2.

    Returns:
        Two tables of shape (T, 1, H) or (B, T, 1, H). Dimensions that do not turn have cosine 1 and
        sine 0.
    """
    ops = executor(positions)
    frequencies = rope_theta ** -(np.arange(0, rotary_dim, 2) / rotary_dim)
    factor = 1.0
    if scaling is not None:
        longest = ops.max(positions, initial=0) + 1
        length = int(longest) if ops is np else longest
        frequencies, factor = scaling(frequencies, rope_theta, length)
    frequencies = executor(frequencies).concatenate(
        [frequencies, frequencies, np.zeros(head_dim - rotary_dim, "float32")]
    )
    if ops is keras.ops:
        positions, frequencies = (ops.cast(x, "float32") for x in (positions, frequencies))
    angles = ops.multiply(ops.expand_dims(positions, (-2, -1)), frequencies)
    half, still = rotary_dim // 2, head_dim - rotary_dim
    signs = np.repeat([-factor, factor, 0.0], [half, half, still]).astype("float32")
    scales = np.repeat([factor, 1.0], [rotary_dim, still]).astype("float32")
    cosines, sines = ops.multiply(ops.cos(angles), scales), ops.multiply(ops.sin(angles), signs)
    if interleaved:
        pairs = np.arange(rotary_dim).reshape(2, half).T.reshape(-1)  # 0, R/2, 1, R/2 + 1, ...
        order = np.concatenate([pairs, np.arange(rotary_dim, head_dim)]).astype("int32")
        cosines, sines = ops.take(cosines, order, axis=-1), ops.take(sines, order, axis=-1)
    return cosines, sines


@lru_cache(maxsize=16)
def _known_tables(positions: tuple[int, ...], *settings: Any) -> tuple[Tensor, Tensor]:
    """Return `rotary_tables` in float32, computed once."""
    cosines, sines = rotary_tables(np.asarray(positions), *settings)
    return cosines.astype("float32"), sines.astype("float32")
