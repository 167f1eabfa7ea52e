"""Activation functions by name."""

from collections.abc import Callable
from functools import partial

import keras

from kzoo.arguments import check_choice
from kzoo.layers.types import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": partial(keras.ops.gelu, approximate=False),
    "gelu_tanh": partial(keras.ops.gelu, approximate=True),
    "relu": keras.ops.relu,
    "silu": keras.ops.silu,
    "tanh": keras.ops.tanh,
}
"""`gelu` is the exact form, x * Phi(x), as BERT was trained; `gelu_tanh` is its approximation."""


def activate(inputs: Tensor, activation: str) -> Tensor:
    """Apply an activation function.

    Args:
        inputs: Tensor of any shape.
        activation: A name in `ACTIVATIONS`.

    Returns:
        Tensor of the same shape.
    """
    return ACTIVATIONS[activation](inputs)


def check_activation(activation: str) -> None:
    """Require a known activation.

    Args:
        activation: The name to check.
    """
    check_choice(ACTIVATIONS, activation=activation)
