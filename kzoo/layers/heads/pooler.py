"""From a sequence of hidden states to one vector."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.activations import activate, check_activation
from kzoo.layers.keras_masks import merge_padding_masks
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class Pooler(keras.layers.Layer):
    """BERT's pooler: an affine map and an activation, on the first position. Sub-layer: `dense`.

    Args:
        hidden_dim: Width of the result. None keeps the width of the hidden states.
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).

    Call returns:
        (B, hidden_dim).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import Pooler
        >>> tuple(Pooler()(np.ones((2, 5, 8), "float32")).shape)
        (2, 8)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 3.
        https://arxiv.org/abs/1810.04805
    """

    output_kind = "embedding"

    def __init__(
        self,
        hidden_dim: int | None = None,
        activation: str = "tanh",
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if hidden_dim is not None:
            check_positive_integers(hidden_dim=hidden_dim)
        check_activation(activation)
        check_positive_numbers(init_std=init_std)
        self.hidden_dim = hidden_dim
        self.activation = activation
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, hidden_shape: Shape) -> None:
        """Create the map."""
        first_shape, width = self._first_shape(hidden_shape), self.hidden_dim or hidden_shape[-1]
        self.dense = projection(width, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(first_shape)

    def call(self, hidden: Tensor) -> Tensor:
        """Pool; see the class."""
        return activate(self.dense(hidden[:, 0]), self.activation)

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (B, hidden_dim)."""
        return (hidden_shape[0], self.hidden_dim or hidden_shape[-1])

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: one vector has no positions."""

    @staticmethod
    def _first_shape(hidden_shape: Shape) -> Shape:
        """Return the shape of the first position's hidden states."""
        return (hidden_shape[0], hidden_shape[-1])


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
        attached = mask if hidden_mask is None else hidden_mask
        padding_mask = merge_padding_masks(hidden, padding_mask, attached)
        precise = keras.backend.result_type(hidden.dtype, "float32")
        if padding_mask is None:
            mean = keras.ops.mean(keras.ops.cast(hidden, precise), axis=1)
            return keras.ops.cast(mean, hidden.dtype)
        real = keras.ops.expand_dims(keras.ops.cast(padding_mask, precise), -1)  # (B, T, 1)
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
