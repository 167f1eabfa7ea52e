"""Absolute positions: one vector for each place in the sequence."""

from functools import lru_cache
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_counts, check_positive_integers, check_positive_numbers
from kzoo.layers.positions.static import executor, first_positions
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class SinusoidalPositions(keras.layers.Layer):
    """Fixed positions: sines and cosines of geometrically spaced wavelengths.

    table[t, 2i] = sin(t / w^(2i/D)) and table[t, 2i + 1] = cos(t / w^(2i/D)), with w the longest
    wavelength over 2 pi.

    Args:
        max_wavelength: The base of the wavelengths, w.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D), D even. Only its shape matters.

    Call returns:
        The table to add to it, (T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import SinusoidalPositions
        >>> tuple(SinusoidalPositions()(np.ones((2, 5, 8), "float32")).shape)
        (5, 8)

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.5.
        https://arxiv.org/abs/1706.03762
    """

    def __init__(self, max_wavelength: float = 10000.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(max_wavelength=max_wavelength)
        self.max_wavelength = max_wavelength
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, hidden_shape: Shape) -> None:
        """Check the width: sines and cosines come in pairs."""
        hidden_dim = hidden_shape[-1]
        if hidden_dim is None or hidden_dim % 2:
            raise ValueError(
                f"The width of `hidden` must be even. Received: hidden.shape={tuple(hidden_shape)}"
            )

    def call(self, hidden: Tensor) -> Tensor:
        """Return the table; see the class."""
        length, hidden_dim = keras.ops.shape(hidden)[1], hidden.shape[-1]
        if isinstance(length, int):
            table = _known_table(length, hidden_dim, self.max_wavelength)
        else:
            table = sinusoidal_table(first_positions(length), hidden_dim, self.max_wavelength)
        return keras.ops.cast(table, self.compute_dtype)

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: the table has no batch."""

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (T, D)."""
        return hidden_shape[1:]


@serializable
class SinusoidalPositions2D(keras.layers.Layer):
    """Fixed positions of the patches of an image: half of the width tells the column, half the row.

    Patches come row by row. With s(t) the D / 4 sines sin(t / w^(4i/D)) and c(t) the cosines, the
    patch in row y and column x has [s(x), c(x), s(y), c(y)].

    Args:
        height: Rows of patches.
        width: Columns of patches.
        max_wavelength: The base of the wavelengths, w.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, height * width, D), D a multiple of 4. Only its shape matters.

    Call returns:
        The table to add to it, (height * width, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import SinusoidalPositions2D
        >>> patches = np.ones((2, 6, 8), "float32")
        >>> tuple(SinusoidalPositions2D(height=2, width=3)(patches).shape)
        (6, 8)

    References:
        He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, section 3.
        https://arxiv.org/abs/2111.06377
        Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, 2021,
        section 4. https://arxiv.org/abs/2104.02057
    """

    def __init__(
        self, height: int, width: int, max_wavelength: float = 10000.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(height=height, width=width)
        check_positive_numbers(max_wavelength=max_wavelength)
        self.height = height
        self.width = width
        self.max_wavelength = max_wavelength
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, hidden: Tensor) -> Tensor:
        """Return the table; see the class."""
        _, hidden_dim = self.compute_output_shape(hidden.shape)
        table = _known_grid(self.height, self.width, hidden_dim, self.max_wavelength)
        return keras.ops.cast(table, self.compute_dtype)

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: the table has no batch."""

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (height * width, D)."""
        length, hidden_dim = hidden_shape[1:]
        if isinstance(length, int) and length != self.height * self.width:
            raise ValueError(
                f"`hidden` must have `height` * `width` = {self.height * self.width} patches. "
                f"Received: hidden.shape={tuple(hidden_shape)}"
            )
        if hidden_dim is None or hidden_dim % 4:
            raise ValueError(
                "The width of `hidden` must be a multiple of 4. "
                f"Received: hidden.shape={tuple(hidden_shape)}"
            )
        return self.height * self.width, hidden_dim


@serializable
class LearnedPositions(keras.layers.Layer):
    """Learned positions: a trainable vector for each of `max_length` positions, rows of `table`.

    Args:
        max_length: The longest sequence.
        init_std: Standard deviation of the initial table.
        start: Row of the table that belongs to the first token. RoBERTa's is 2: the rows before it
            are those of padding, which this layer never returns.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D), T at most `max_length`. Only its shape matters.

    Call returns:
        The table to add to it, (T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import LearnedPositions
        >>> tuple(LearnedPositions(max_length=16)(np.ones((2, 5, 8), "float32")).shape)
        (5, 8)

    References:
        Gehring et al., Convolutional Sequence to Sequence Learning, 2017, section 3.1.
        https://arxiv.org/abs/1705.03122
    """

    def __init__(
        self, max_length: int, init_std: float = 0.02, start: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(max_length=max_length)
        check_counts(start=start)
        check_positive_numbers(init_std=init_std)
        self.max_length = max_length
        self.init_std = init_std
        self.start = start
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, hidden_shape: Shape) -> None:
        """Create the table."""
        self.table = self.add_weight(
            shape=(self.start + self.max_length, hidden_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
            autocast=False,
            name="table",
        )

    def call(self, hidden: Tensor) -> Tensor:
        """Return T rows of the table; see the class."""
        length = keras.ops.shape(hidden)[1]
        self._check_length(length)
        return keras.ops.cast(self.table[self.start : self.start + length], self.compute_dtype)

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: the table has no batch."""

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (T, D)."""
        self._check_length(hidden_shape[1])
        return hidden_shape[1:]

    def _check_length(self, length: Any) -> None:
        """Require a sequence that fits the table, where its length is known before it runs."""
        if isinstance(length, int) and length > self.max_length:
            raise ValueError(
                f"The sequence must have at most `max_length`={self.max_length} tokens. "
                f"Received: length={length}"
            )


def sinusoidal_table(positions: Tensor, hidden_dim: int, max_wavelength: float) -> Tensor:
    """Return the sines and cosines of positions, in turn.

    Args:
        positions: (T,), a NumPy array or a tensor.
        hidden_dim: Width of the table, D; even.
        max_wavelength: The base of the wavelengths.

    Returns:
        (T, D), of the kind that the positions are.
    """
    ops = executor(positions)
    frequencies = max_wavelength ** -(np.arange(0, hidden_dim, 2) / hidden_dim)
    if ops is keras.ops:
        positions, frequencies = (ops.cast(x, "float32") for x in (positions, frequencies))
    angles = ops.outer(positions, frequencies)  # (T, D / 2)
    pairs = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
    return ops.reshape(pairs, (-1, hidden_dim))


@lru_cache(maxsize=16)
def _known_table(length: int, hidden_dim: int, max_wavelength: float) -> Tensor:
    """Return the table of a length that is known, computed once."""
    table = sinusoidal_table(np.arange(length), hidden_dim, max_wavelength)
    return table.astype("float32")


@lru_cache(maxsize=16)
def _known_grid(height: int, width: int, hidden_dim: int, max_wavelength: float) -> Tensor:
    """Return the table of a grid of patches, computed once."""
    rows, columns = np.indices((height, width)).reshape(2, -1)
    tables = (
        sinusoidal_table(places, hidden_dim // 2, max_wavelength) for places in (columns, rows)
    )
    # From sine and cosine in turn to all sines, then all cosines.
    halves = [np.concatenate([table[:, 0::2], table[:, 1::2]], axis=1) for table in tables]
    return np.concatenate(halves, axis=1).astype("float32")
