"""Absolute positions: one vector for each place in the sequence."""

from typing import Any

import keras
import numpy as np

from kzoo.layers.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable("kzoo")
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
        frequencies = self.max_wavelength ** -(np.arange(0, hidden_dim, 2) / hidden_dim)
        times = keras.ops.cast(keras.ops.arange(length), "float32")  # (T,)
        angles = keras.ops.outer(times, frequencies.astype("float32"))  # (T, D / 2)
        pairs = keras.ops.stack([keras.ops.sin(angles), keras.ops.cos(angles)], axis=-1)
        return keras.ops.cast(keras.ops.reshape(pairs, (-1, hidden_dim)), self.compute_dtype)

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (T, D)."""
        return hidden_shape[1:]


@keras.saving.register_keras_serializable("kzoo")
class LearnedPositions(keras.layers.Layer):
    """Learned positions: a trainable vector for each of the first `max_length` places.

    Args:
        max_length: The longest sequence.
        init_std: Standard deviation of the initial table.
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

    def __init__(self, max_length: int, init_std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integers(max_length=max_length)
        check_positive_numbers(init_std=init_std)
        self.max_length = max_length
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, hidden_shape: Shape) -> None:
        """Create the table."""
        self.table = self.add_weight(
            shape=(self.max_length, hidden_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
            autocast=False,
            name="table",
        )

    def call(self, hidden: Tensor) -> Tensor:
        """Return the first T rows of the table; see the class."""
        length = keras.ops.shape(hidden)[1]
        self._check_length(length)
        return keras.ops.cast(self.table[:length], self.compute_dtype)

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
