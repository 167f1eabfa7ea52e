"""How each backend runs a layer at its best: compiled on TensorFlow and JAX, eager on PyTorch."""

from collections.abc import Callable
from typing import Any

import keras

from tests.bench.layers.subjects import Subject

Run = Callable[[], Any]


def tensorflow(subject: Subject, hidden: Any, mask: Any, backward: bool) -> Run:
    """Compile with `tf.function`."""
    import tensorflow as tf

    @tf.function
    def forward() -> Any:
        return subject.apply(hidden, mask, False)

    @tf.function
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = tf.reduce_sum(subject.apply(hidden, mask, True))
        weights = [variable.value for variable in subject.layer.trainable_variables]
        return tape.gradient(loss, [hidden, *weights])

    run = gradients if backward else forward
    return lambda: keras.tree.map_structure(lambda t: t[..., :1].numpy(), run())


def jax(subject: Subject, hidden: Any, mask: Any, backward: bool) -> Run:
    """Compile with `jax.jit`."""
    import jax

    variables = subject.layer.trainable_variables

    def apply(weights: Any, x: Any, training: bool) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, weights, strict=True))):
            return subject.apply(x, mask, training)

    forward = jax.jit(lambda weights, x: apply(weights, x, False))
    gradients = jax.jit(jax.grad(lambda weights, x: apply(weights, x, True).sum(), argnums=(0, 1)))
    run = gradients if backward else forward
    weights = [variable.value for variable in variables]
    return lambda: jax.block_until_ready(run(weights, hidden))


def torch(subject: Subject, hidden: Any, mask: Any, backward: bool) -> Run:
    """Run eagerly, without a graph where there is no backward pass."""
    import torch

    def forward() -> Any:
        with torch.no_grad():
            return subject.apply(hidden, mask, False)

    leaf = hidden.clone().requires_grad_()

    def gradients() -> None:
        subject.layer.zero_grad(set_to_none=True)
        leaf.grad = None
        subject.apply(leaf, mask, True).sum().backward()

    return gradients if backward else forward


BACKENDS: dict[str, Callable[[Subject, Any, Any, bool], Run]] = {
    "tensorflow": tensorflow,
    "jax": jax,
    "torch": torch,
}
