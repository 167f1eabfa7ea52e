"""From a sequence of hidden states to one vector, without weights."""

from typing import Any

import keras

from kzoo.layers.keras_masks import real_positions
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class MeanPooling(keras.layers.Layer):
    """The mean of the hidden states over the real positions; zero where there are none.

    Computed in at least float32.

    Args:
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        padding_mask: Boolean or integer (B, T), True for real positions. None for no padding but
            that of a mask that Keras attached to `hidden`.

    Call returns:
        (B, D).

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kzoo.layers import MeanPooling
        >>> hidden = np.array([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]], "float32")
        >>> pooled = MeanPooling()(hidden, np.array([[1, 1, 0]]))
        >>> keras.ops.convert_to_numpy(pooled).tolist()
        [[2.0, 3.0]]

    References:
        Reimers and Gurevych, Sentence-BERT, 2019, section 3. https://arxiv.org/abs/1908.10084
    """

    output_kind = "embedding"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(
        self,
        hidden: Tensor,
        padding_mask: Tensor | None = None,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
    ) -> Tensor:
        """Pool; see the class."""
        precise = keras.backend.result_type(hidden.dtype, "float32")
        attached = mask if hidden_mask is None else hidden_mask
        real = real_positions(hidden, padding_mask, attached, precise)
        if real is None:
            mean = keras.ops.mean(keras.ops.cast(hidden, precise), axis=1)
            return keras.ops.cast(mean, hidden.dtype)
        total = keras.ops.sum(keras.ops.cast(hidden, precise) * real, axis=1)
        count = keras.ops.maximum(keras.ops.sum(real, axis=1), 1.0)  # (B, 1)
        return keras.ops.cast(total / count, hidden.dtype)

    def compute_output_shape(
        self, hidden_shape: Shape, padding_mask_shape: Shape | None = None
    ) -> Shape:
        """Return (B, D)."""
        return (hidden_shape[0], hidden_shape[-1])

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: one vector has no positions."""


@serializable
class MaxPooling(keras.layers.Layer):
    """The largest value of each channel over the real positions.

    Padding takes the values of the first position, which is real: no bias enters the graph, and an
    integer graph keeps a fine quantization step. Where no position is real, those are the result.

    Args:
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        padding_mask: Boolean or integer (B, T), True for real positions, the first among them. None
            for no padding but that of a mask that Keras attached to `hidden`.

    Call returns:
        (B, D).

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kzoo.layers import MaxPooling
        >>> hidden = np.array([[[1.0, 4.0], [3.0, 2.0], [9.0, 9.0]]], "float32")
        >>> pooled = MaxPooling()(hidden, np.array([[1, 1, 0]]))
        >>> keras.ops.convert_to_numpy(pooled).tolist()
        [[3.0, 4.0]]

    References:
        Reimers and Gurevych, Sentence-BERT, 2019, section 3. https://arxiv.org/abs/1908.10084
    """

    output_kind = "embedding"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(
        self,
        hidden: Tensor,
        padding_mask: Tensor | None = None,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
    ) -> Tensor:
        """Pool; see the class."""
        attached = mask if hidden_mask is None else hidden_mask
        real = real_positions(hidden, padding_mask, attached, hidden.dtype)
        if real is not None:
            hidden = hidden * real + hidden[:, :1] * (1.0 - real)
        return keras.ops.max(hidden, axis=1)

    def compute_output_shape(
        self, hidden_shape: Shape, padding_mask_shape: Shape | None = None
    ) -> Shape:
        """Return (B, D)."""
        return (hidden_shape[0], hidden_shape[-1])

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: one vector has no positions."""


@serializable
class FirstPooling(keras.layers.Layer):
    """The hidden states of the first position, which BERT calls [CLS].

    Args:
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        padding_mask: Boolean or integer (B, T), as other poolings take it; not used.

    Call returns:
        (B, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import FirstPooling
        >>> tuple(FirstPooling()(np.ones((2, 5, 8), "float32")).shape)
        (2, 8)

    References:
        Reimers and Gurevych, Sentence-BERT, 2019, section 3. https://arxiv.org/abs/1908.10084
    """

    output_kind = "embedding"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, hidden: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Pool; see the class."""
        return hidden[:, 0]

    def compute_output_shape(
        self, hidden_shape: Shape, padding_mask_shape: Shape | None = None
    ) -> Shape:
        """Return (B, D)."""
        return (hidden_shape[0], hidden_shape[-1])

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: one vector has no positions."""
