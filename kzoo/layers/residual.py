"""How branches join the residual, and what may happen to one before."""

from collections.abc import Callable
from typing import Any

import keras

from kzoo.arguments import check_positive_numbers, check_rates
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor

Branch = Callable[[Tensor], Tensor]


def post_residual(hidden: Tensor, branches: list[Branch], norms: list[Branch]) -> Tensor:
    """Normalize each sum.

    Args:
        hidden: (B, T, D).
        branches: The attention, a cross-attention where there is one, the feed-forward network.
        norms: A normalization for each branch.

    Returns:
        (B, T, D).
    """
    for branch, norm in zip(branches, norms, strict=True):
        hidden = norm(hidden + branch(hidden))
    return hidden


def pre_residual(hidden: Tensor, branches: list[Branch], norms: list[Branch]) -> Tensor:
    """Normalize what enters each branch.

    Args:
        hidden: (B, T, D).
        branches: As in `post_residual`.
        norms: A normalization for each branch.

    Returns:
        (B, T, D).
    """
    for branch, norm in zip(branches, norms, strict=True):
        hidden = hidden + branch(norm(hidden))
    return hidden


def parallel_residual(hidden: Tensor, branches: list[Branch], norms: list[Branch]) -> Tensor:
    """Give all branches the same input, normalized once.

    Args:
        hidden: (B, T, D).
        branches: As in `post_residual`.
        norms: One normalization.

    Returns:
        (B, T, D).
    """
    normed = norms[0](hidden)
    for branch in branches:
        hidden = hidden + branch(normed)
    return hidden


RESIDUALS: dict[str, Callable[..., Tensor]] = {
    "post": post_residual,
    "pre": pre_residual,
    "sandwich": pre_residual,
    "parallel": parallel_residual,
}
"""How each residual joins the branches."""


@serializable
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned factor that starts small: y = x * scale.

    A deep stack starts near the identity, and every branch grows as far as it helps. Weight:
    `scale` (D,).

    Args:
        init_value: What every factor starts at. The paper takes 0.1 up to 18 blocks, 1e-5 up to 24
            and 1e-6 beyond.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        inputs: (..., D).

    Call returns:
        (..., D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import LayerScale
        >>> tuple(LayerScale(init_value=0.1)(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Touvron et al., Going Deeper with Image Transformers, 2021, equation 4.
        https://arxiv.org/abs/2103.17239
    """

    def __init__(self, init_value: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(init_value=init_value)
        self.init_value = init_value
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        """Create the factors."""
        initializer = keras.initializers.Constant(self.init_value)
        self.scale = self.add_weight(inputs_shape[-1:], initializer=initializer, name="scale")

    def call(self, inputs: Tensor) -> Tensor:
        """Scale; see the class."""
        return keras.ops.multiply(inputs, self.scale)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        """Return the shape of the inputs."""
        return inputs_shape


@serializable
class StochasticDepth(keras.layers.Layer):
    """Drops whole samples of a branch in training, so that a random sub-network learns each step.

    In training y = x * b / (1 - rate), with b = 0 for a share `rate` of the samples and 1 for the
    others; y = x otherwise. The mean is the same either way.

    Args:
        rate: Share of the samples that are dropped.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        inputs: (B, ...).
        training: Whether samples are dropped.

    Call returns:
        (B, ...).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import StochasticDepth
        >>> tuple(StochasticDepth(rate=0.1)(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Huang et al., Deep Networks with Stochastic Depth, 2016, equations 2 and 5.
        https://arxiv.org/abs/1603.09382
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_rates(rate=rate)
        self.rate = rate
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True
        self.random = keras.random.SeedGenerator() if rate else None

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Drop; see the class."""
        if not training or self.random is None:
            return inputs
        one_a_sample = (None,) + (1,) * (len(inputs.shape) - 1)
        return keras.random.dropout(inputs, self.rate, noise_shape=one_a_sample, seed=self.random)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        """Return the shape of the inputs."""
        return inputs_shape
