"""The position-wise feed-forward networks."""

from functools import partial
from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers, check_rates
from kzoo.layers.activations import activate, check_activation
from kzoo.layers.dropout import Dropout
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class FeedForward(keras.layers.Layer):
    """Two dense layers with an activation between them, on each position by itself.

    out(activation(intermediate(x))). Sub-layers: `intermediate` (D to F) and `out` (F to D).

    Args:
        mlp_dim: Width between the two maps, F.
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        use_bias: Whether the maps add a bias.
        dropout: Dropout rate between the two maps. That of the result belongs to the block.
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
        use_bias: bool = True,
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
        self.use_bias = use_bias
        self.dropout = dropout
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        self.inner_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, hidden_shape: Shape) -> None:
        """Create the two maps."""
        project = partial(
            projection,
            policy=self.dtype_policy,
            init_std=self.init_std,
            use_bias=self.use_bias,
        )
        self.intermediate = project(self.mlp_dim, name="intermediate")
        self.out = project(hidden_shape[-1], name="out")
        self.intermediate.build(hidden_shape)
        self.out.build((*hidden_shape[:-1], self.mlp_dim))

    def call(self, hidden: Tensor, training: bool = False) -> Tensor:
        """Map each position; see the class."""
        inner = activate(self.intermediate(hidden), self.activation)
        return self.out(self.inner_dropout(inner, training=training))

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return the shape of the hidden states."""
        return hidden_shape


@serializable
class GatedFeedForward(keras.layers.Layer):
    """A feed-forward network whose inner channels are gated, on each position by itself.

    out(activation(gate(x)) * intermediate(x)): SwiGLU with `silu`, GeGLU with `gelu`, ReGLU with
    `relu`. Sub-layers: `gate` and `intermediate` (D to F), `out` (F to D). Three maps instead of
    two: F of two thirds has as many weights as `FeedForward`.

    Args:
        mlp_dim: Width between the maps, F.
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        use_bias: Whether the maps add a bias.
        dropout: Dropout rate of the gated channels. That of the result belongs to the block.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        training: Whether dropout is active.

    Call returns:
        (B, T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import GatedFeedForward
        >>> tuple(GatedFeedForward(mlp_dim=16)(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Shazeer, GLU Variants Improve Transformer, 2020, equation 6.
        https://arxiv.org/abs/2002.05202
    """

    def __init__(
        self,
        mlp_dim: int,
        activation: str = "silu",
        use_bias: bool = False,
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
        self.use_bias = use_bias
        self.dropout = dropout
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        self.inner_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, hidden_shape: Shape) -> None:
        """Create the three maps."""
        project = partial(
            projection,
            policy=self.dtype_policy,
            init_std=self.init_std,
            use_bias=self.use_bias,
        )
        self.gate = project(self.mlp_dim, name="gate")
        self.intermediate = project(self.mlp_dim, name="intermediate")
        self.out = project(hidden_shape[-1], name="out")
        self.gate.build(hidden_shape)
        self.intermediate.build(hidden_shape)
        self.out.build((*hidden_shape[:-1], self.mlp_dim))

    def call(self, hidden: Tensor, training: bool = False) -> Tensor:
        """Map each position; see the class."""
        inner = activate(self.gate(hidden), self.activation) * self.intermediate(hidden)
        return self.out(self.inner_dropout(inner, training=training))

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return the shape of the hidden states."""
        return hidden_shape
