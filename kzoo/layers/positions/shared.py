"""One bias for all the layers of a model."""

import inspect
from typing import Any

import keras

from kzoo.layers.attention.bias import length_of
from kzoo.layers.composition import build_part, check_layers, check_methods
from kzoo.layers.positions.static import first_positions
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class PositionBias(keras.layers.Layer):
    """The bias of a relative position, computed once for all the blocks of a model.

    T5 and MPNet learn one table of distances for all layers. Pass the result to each of them as
    `position_bias`; as the part of each layer, every one would learn its own.

    Args:
        position: A new layer that adds a bias to the scores, such as `RelativeBias`; see
            `Position`. One that depends on queries and keys cannot be shared.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D). Only its length matters.

    Call returns:
        What to add to the scores, (1, N, T, T).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import MultiHeadAttention, PositionBias, RelativeBias
        >>> hidden = np.ones((2, 5, 8), "float32")
        >>> bias = PositionBias(RelativeBias(num_heads=4))(hidden)
        >>> for layer in (MultiHeadAttention(num_heads=4), MultiHeadAttention(num_heads=4)):
        ...     hidden = layer(hidden, position_bias=bias)
        >>> tuple(bias.shape)
        (1, 4, 5, 5)

    References:
        Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text
        Transformer, 2019, section 2.1. https://arxiv.org/abs/1910.10683
    """

    def __init__(self, position: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_layers(self, position=position)
        check_methods(("bias",), position=position)
        _check_shareable(position)
        self.position = position
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, hidden_shape: Shape) -> None:
        """Create the weights of the position."""
        try:
            build_part("position", self.position, hidden_shape[1:2])
        except ValueError as error:
            raise _not_shareable(self.position) from error

    def call(self, hidden: Tensor) -> Tensor:
        """Return the bias; see the class."""
        positions = first_positions(length_of(hidden))
        return keras.ops.cast(self.position.bias(positions, positions), self.compute_dtype)

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: the bias has no batch."""


def _check_shareable(position: keras.layers.Layer) -> None:
    """Require a bias that asks for positions alone."""
    try:
        inspect.signature(position.bias).bind(None, None)
    except TypeError as error:
        raise _not_shareable(position) from error


def _not_shareable(position: keras.layers.Layer) -> ValueError:
    """Return the error of a position without a bias that layers can share."""
    return ValueError(
        "`position` must add a bias that follows from positions alone, as `RelativeBias` does: "
        "what depends on queries and keys differs from layer to layer. Received: position="
        f"{position.name!r} of type {type(position).__name__}"
    )
