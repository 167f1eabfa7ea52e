"""Dropout with half the random numbers."""

import math
from typing import Any

import keras

from kzoo.layers.types import Tensor

# Two numbers are made of one: with 12 bits, the second is that much coarser.
_STEPS = 2**12
_LEAST_RATE = 0.01


class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, where random numbers are what takes time.

    On JAX a random number costs as much as 30 multiplications, and each decision needs but a few of
    its bits: one number decides for two elements. The rate is met within 1 / 4096. Smaller rates
    than 0.01 and other backends are as in Keras.

    Args:
        rate: Share of the elements that become 0 in training.
        **kwargs: As for `keras.layers.Dropout`.

    Call arguments:
        inputs: Any shape.
        training: Whether dropout is active.

    Call returns:
        The shape of the inputs: in training each element 0 or divided by 1 - rate.

    References:
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014.
        https://jmlr.org/papers/v15/srivastava14a.html
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Drop elements; see the class."""
        halved = keras.config.backend() == "jax" and self.noise_shape is None
        if not (training and halved and self.rate >= _LEAST_RATE):
            return super().call(inputs, training=training)
        keep = 1 - self.rate
        kept = keras.ops.reshape(
            _decide(math.prod(inputs.shape), keep, self.seed_generator), inputs.shape
        )
        return keras.ops.where(kept, inputs / keep, keras.ops.zeros_like(inputs))


def _decide(number: int, probability: float, seed: Any) -> Tensor:
    """Return independent booleans, (number,): the high bits of numbers decide, then the low."""
    scaled = keras.random.uniform(((number + 1) // 2,), maxval=_STEPS, dtype="float32", seed=seed)
    high = keras.ops.floor(scaled)
    decisions = (high < probability * _STEPS, scaled - high < probability)
    return keras.ops.concatenate(decisions)[:number]
