"""Normalizations of the last axis."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from kzoo.arguments import check_positive_numbers, check_types
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


def layer_norm(inputs: Tensor, gamma: Tensor, beta: Tensor | None, epsilon: float) -> Tensor:
    """Normalize the last axis, then scale and shift.

    (x - mean) / sqrt(var + epsilon) * gamma + beta, computed in at least float32. PyTorch has a
    kernel for it, which becomes one LayerNormalization node in ONNX. Elsewhere it is spelled out,
    with x * x for the square: the squared-difference op that `keras.ops` would leave in a TFLite
    file has no 16-bit integer kernel.

    Args:
        inputs: (..., D).
        gamma: (D,).
        beta: (D,), or `None` for no shift.
        epsilon: Added to the variance.

    Returns:
        (..., D), in the dtype of the inputs.
    """
    precise = keras.backend.result_type(inputs.dtype, "float32")
    x, gamma = keras.ops.cast(inputs, precise), keras.ops.cast(gamma, precise)
    beta = None if beta is None else keras.ops.cast(beta, precise)
    if keras.config.backend() == "torch":
        normalized = keras.ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=epsilon)
    else:
        centered = x - keras.ops.mean(x, axis=-1, keepdims=True)
        variance = keras.ops.mean(centered * centered, axis=-1, keepdims=True)
        # The scale joins the factor, not the product: converters fold a product with a constant
        # into the kernel that follows, where the outliers of gamma cost the other weights their
        # precision once they are quantized.
        normalized = centered * (keras.ops.rsqrt(variance + epsilon) * gamma)
        normalized = normalized if beta is None else normalized + beta
    return keras.ops.cast(normalized, inputs.dtype)


def rms_norm(inputs: Tensor, gamma: Tensor, epsilon: float) -> Tensor:
    """Divide by the root mean square of the last axis, then scale.

    x / sqrt(mean(x^2) + epsilon) * gamma, computed in at least float32.

    Args:
        inputs: (..., D).
        gamma: (D,).
        epsilon: Added to the mean square.

    Returns:
        (..., D), in the dtype of the inputs.
    """
    precise = keras.backend.result_type(inputs.dtype, "float32")
    x = keras.ops.cast(inputs, precise)
    mean_square = keras.ops.mean(x * x, axis=-1, keepdims=True)
    # In this order for the reason given in `layer_norm`.
    scale = keras.ops.rsqrt(mean_square + epsilon) * keras.ops.cast(gamma, precise)
    return keras.ops.cast(x * scale, inputs.dtype)


@serializable
class LayerNorm(keras.layers.Layer):
    """Layer normalization of the last axis, with a learned scale `gamma` and shift `beta`.

    Args:
        epsilon: Added to the variance. BERT's is 1e-12.
        use_bias: Whether there is a shift.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        inputs: (..., D).

    Call returns:
        (..., D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import LayerNorm
        >>> tuple(LayerNorm()(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Ba et al., Layer Normalization, 2016, equation 4. https://arxiv.org/abs/1607.06450
    """

    def __init__(self, epsilon: float = 1e-12, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(epsilon=epsilon)
        check_types(bool, use_bias=use_bias)
        self.epsilon = epsilon
        self.use_bias = use_bias
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        """Create the scale and the shift."""
        width = inputs_shape[-1:]
        self.gamma = self.add_weight(shape=width, initializer="ones", autocast=False, name="gamma")
        self.beta = None
        if self.use_bias:
            self.beta = self.add_weight(
                shape=width, initializer="zeros", autocast=False, name="beta"
            )

    def call(self, inputs: Tensor) -> Tensor:
        """Normalize; see the class."""
        return layer_norm(inputs, self.gamma, self.beta, self.epsilon)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        """Return the shape of the inputs."""
        return inputs_shape


@serializable
class RMSNorm(keras.layers.Layer):
    """Division by the root mean square of the last axis, with a learned scale `gamma`.

    y = x / sqrt(mean(x^2) + epsilon) * gamma: layer normalization without its mean and its shift.

    Args:
        epsilon: Added to the mean square. Llama's is 1e-5 or 1e-6.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        inputs: (..., D).

    Call returns:
        (..., D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import RMSNorm
        >>> tuple(RMSNorm()(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, equation 4.
        https://arxiv.org/abs/1910.07467
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(epsilon=epsilon)
        self.epsilon = epsilon
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        """Create the scale."""
        width = inputs_shape[-1:]
        self.gamma = self.add_weight(shape=width, initializer="ones", autocast=False, name="gamma")

    def call(self, inputs: Tensor) -> Tensor:
        """Normalize; see the class."""
        return rms_norm(inputs, self.gamma, self.epsilon)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        """Return the shape of the inputs."""
        return inputs_shape


@serializable
class NoNorm(keras.layers.Layer):
    """A learned scale `gamma` and shift `beta` in the place of a normalization: x * gamma + beta.

    Costs no pass over the channels, which is most of what a normalization costs on a phone.

    Args:
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        inputs: (..., D).

    Call returns:
        (..., D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import NoNorm
        >>> tuple(NoNorm()(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Sun et al., MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices, 2020,
        section 3.3 and equation 2. https://arxiv.org/abs/2004.02984
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        """Create the scale and the shift."""
        width = inputs_shape[-1:]
        self.gamma = self.add_weight(shape=width, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=width, initializer="zeros", name="beta")

    def call(self, inputs: Tensor) -> Tensor:
        """Scale and shift; see the class."""
        return keras.ops.multiply(inputs, self.gamma) + self.beta

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        """Return the shape of the inputs."""
        return inputs_shape


NORMS: dict[str, Callable[..., keras.layers.Layer]] = {
    "layer_norm": LayerNorm,
    "layer_norm_no_bias": partial(LayerNorm, use_bias=False),
    "rms_norm": RMSNorm,
    "no_norm": lambda epsilon, **kwargs: NoNorm(**kwargs),
}
"""The normalizations by name, each called with an epsilon and what any Keras layer takes."""
