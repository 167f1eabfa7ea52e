"""The replaced-token head."""

from typing import Any

import keras

from kzoo.arguments import check_positive_numbers
from kzoo.layers.activations import activate, check_activation
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class ReplacedTokenHead(keras.layers.Layer):
    """Scores at every position whether its token was put there by a generator.

    logit = w activation(W h + b) + c. Sub-layers: `dense` and `out`.

    Args:
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).

    Call returns:
        Logits (B, T), above 0 for "replaced".

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import ReplacedTokenHead
        >>> tuple(ReplacedTokenHead()(np.ones((2, 5, 8), "float32")).shape)
        (2, 5)

    References:
        Clark et al., ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators,
        2020, section 2. https://arxiv.org/abs/2003.10555
    """

    output_kind = "token_logits"

    def __init__(self, activation: str = "gelu", init_std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_activation(activation)
        check_positive_numbers(init_std=init_std)
        self.activation = activation
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True

    def build(self, hidden_shape: Shape) -> None:
        """Create the two maps."""
        width = hidden_shape[-1]
        self.dense = projection(width, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(hidden_shape)
        self.out = projection(1, self.dtype_policy, self.init_std, name="out")
        self.out.build(hidden_shape)

    def call(self, hidden: Tensor) -> Tensor:
        """Score; see the class."""
        hidden = activate(self.dense(hidden), self.activation)
        return keras.ops.squeeze(self.out(hidden), axis=-1)

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return (B, T)."""
        return hidden_shape[:2]
