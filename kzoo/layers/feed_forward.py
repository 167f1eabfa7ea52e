"""The position-wise feed-forward network."""

from typing import Any

import keras

from kzoo.layers.activations import activate, check_activation
from kzoo.layers.arguments import check_positive_integers, check_positive_numbers, check_rates
from kzoo.layers.projection import projection
from kzoo.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable("kzoo")
class FeedForward(keras.layers.Layer):
    """Two affine maps with an activation between them, on each position by itself.

    Sub-layers: `intermediate` (D to F) and `out` (F to D).

    Args:
        mlp_dim: Width between the two maps, F.
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        dropout: Dropout rate of the result.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        training: Whether dropout is active.

    Call returns:
        (B, T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import FeedForward
        >>> tuple(FeedForward(mlp_dim=16)(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Vaswani et al., Attention Is All You Need, 2017, equation 2.
        https://arxiv.org/abs/1706.03762
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016. https://arxiv.org/abs/1606.08415
    """

    def __init__(
        self,
        mlp_dim: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(mlp_dim=mlp_dim)
        check_activation(activation)
        check_rates(dropout=dropout)
        check_positive_numbers(init_std=init_std)
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.dropout = dropout
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        self.hidden_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, hidden_shape: Shape) -> None:
        """Create the two maps."""
        policy, std = self.dtype_policy, self.init_std
        self.intermediate = projection(self.mlp_dim, policy, std, name="intermediate")
        self.out = projection(hidden_shape[-1], policy, std, name="out")
        self.intermediate.build(hidden_shape)
        self.out.build((*hidden_shape[:-1], self.mlp_dim))

    def call(self, hidden: Tensor, training: bool = False) -> Tensor:
        """Map each position; see the class."""
        hidden = activate(self.intermediate(hidden), self.activation)
        return self.hidden_dropout(self.out(hidden), training=training)

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return the shape of the hidden states."""
        return hidden_shape
