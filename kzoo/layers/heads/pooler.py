"""BERT's pooler."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.activations import activate, check_activation
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class Pooler(keras.layers.Layer):
    """BERT's pooler: a dense layer and an activation, on the first position. Sub-layer: `dense`.

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
        """Create the dense layer."""
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
