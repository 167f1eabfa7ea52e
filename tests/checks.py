"""The contracts that every part of a kind keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo.layers import static_graph
from tests.arrays import Array, Inputs, assert_close, to_numpy
from tests.conventions import check_conventions

Oracle = Callable[..., Array]

# float32 against float64: a few sums of some ten terms, each rounded at 6e-8.
FLOAT32_TOLERANCE = 1e-5
# bfloat16 keeps 8 bits (4e-3) and float16 keeps 11 (5e-4); a block rounds about ten times in a row.
HALF_TOLERANCES = {"mixed_bfloat16": 2e-2, "mixed_float16": 5e-3}
# A central difference of the float64 oracle is exact to 1e-8; what is left is float32 rounding in
# the backward pass, which sums over every element of the output.
GRADIENT_TOLERANCE = 1e-4


def check_layer(
    layer: keras.layers.Layer,
    inputs: Inputs,
    oracle: Oracle,
    folder: Path,
    fixed: tuple[str, ...] = (),
) -> None:
    """Prove the layer contract.

    Args:
        layer: An unbuilt layer without dropout.
        inputs: Its call arguments by name, as NumPy arrays.
        oracle: Called as `oracle(weights, **inputs)`, all in float64: what the layer must return.
        folder: Where files may be written.
        fixed: Inputs whose shape never varies, so that it is not tried with unknown sizes.
    """
    check_config(layer, inputs)
    randomize(layer)
    check_oracle(layer, inputs, oracle)
    check_shapes(layer, inputs, fixed)
    check_conventions(layer, inputs, folder)
    check_static_graph(layer, inputs)
    check_jit(layer, inputs)
    check_gradients(layer, inputs, oracle)
    for policy in HALF_TOLERANCES:
        check_policy(layer, inputs, oracle, policy)


def check_config(layer: keras.layers.Layer, inputs: Inputs) -> None:
    """Building changes no config, and the config makes the same layer again."""
    before = layer.get_config()
    assert json.loads(json.dumps(before)) == before
    layer(**inputs)
    assert layer.built
    assert layer.get_config() == before
    assert type(layer).from_config(before).get_config() == before


def check_oracle(layer: keras.layers.Layer, inputs: Inputs, oracle: Oracle) -> None:
    """The layer computes what the oracle does, in the oracle's shape."""
    expected = oracle(named_weights(layer), **doubled(inputs))
    assert_close(layer(**inputs), expected, FLOAT32_TOLERANCE)


def check_shapes(layer: keras.layers.Layer, inputs: Inputs, fixed: tuple[str, ...]) -> None:
    """Symbolic calls promise the shape and dtype that eager calls return."""
    eager = layer(**inputs)
    known = layer(**symbols(inputs))
    assert known.shape == tuple(eager.shape)
    assert known.dtype == keras.backend.standardize_dtype(eager.dtype)
    varying = {name for name in inputs if name not in fixed}
    unknown = layer(**symbols(inputs, varying))
    assert len(unknown.shape) == len(known.shape)
    for promised, actual in zip(unknown.shape, known.shape, strict=True):
        assert promised in (None, actual)


def check_static_graph(layer: keras.layers.Layer, inputs: Inputs) -> None:
    """The graph made for export gives the numbers of the fused kernels."""
    fused = to_numpy(layer(**inputs))
    with static_graph():
        assert_close(compiled(layer, inputs), fused, FLOAT32_TOLERANCE)


def check_jit(layer: keras.layers.Layer, inputs: Inputs) -> None:
    """The backend's compiler accepts the layer and changes nothing."""
    assert_close(compiled(layer, inputs), to_numpy(layer(**inputs)), FLOAT32_TOLERANCE)


def check_gradients(layer: keras.layers.Layer, inputs: Inputs, oracle: Oracle) -> None:
    """A gradient reaches every weight, and it is that of the oracle."""
    if not layer.trainable_variables:
        return
    random = np.random.default_rng(1)
    cotangent = random.normal(size=tuple(layer(**inputs).shape))
    gradients = GRADIENTS[keras.config.backend()](layer, inputs, cotangent.astype("float32"))
    weights = named_weights(layer)
    assert set(gradients) == set(weights)
    for name, gradient in gradients.items():
        assert gradient is not None, f"no gradient reaches {name}"
        direction = random.normal(size=gradient.shape)
        step = 1e-5 / np.abs(direction).max()
        higher, lower = (
            oracle({**weights, name: weights[name] + sign * step * direction}, **doubled(inputs))
            for sign in (1, -1)
        )
        expected = ((higher - lower) * cotangent).sum() / (2 * step)
        scale = max(1.0, np.abs(gradient * direction).sum())
        np.testing.assert_allclose(
            (gradient * direction).sum() / scale,
            expected / scale,
            atol=GRADIENT_TOLERANCE,
            err_msg=name,
        )


def check_policy(layer: keras.layers.Layer, inputs: Inputs, oracle: Oracle, policy: str) -> None:
    """Under mixed precision the weights stay float32 and the result is as good as its dtype."""
    twin = type(layer).from_config({**layer.get_config(), "dtype": policy})
    dtype = keras.DTypePolicy(policy).compute_dtype
    assert twin(**symbols(inputs)).dtype == dtype
    assert {weight.dtype for weight in twin.weights} <= {"float32"}
    twin.set_weights(layer.get_weights())
    output = compiled(twin, inputs)
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    expected = oracle(named_weights(layer), **doubled(inputs))
    assert_close(output, expected, HALF_TOLERANCES[policy])


def compiled(layer: keras.layers.Layer, inputs: Inputs) -> Any:
    """Call the layer through the backend's compiler."""
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    return COMPILERS[keras.config.backend()](layer, tensors)


def randomize(layer: keras.layers.Layer, seed: int = 0) -> None:
    """Give every weight random values, so that zeros and ones hide nothing."""
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(weight + random.normal(0, 0.3, weight.shape))


def named_weights(layer: keras.layers.Layer) -> dict[str, Array]:
    """Return the weights in float64, by their path inside the layer."""
    return {
        weight.path.removeprefix(f"{layer.name}/"): to_numpy(weight).astype("float64")
        for weight in layer.trainable_variables
    }


def doubled(inputs: Inputs) -> Inputs:
    """Return the inputs with floating point arrays in float64."""
    return {
        name: value.astype("float64") if value.dtype.kind == "f" else value
        for name, value in inputs.items()
    }


def symbols(inputs: Inputs, varying: set[str] | None = None) -> dict[str, keras.KerasTensor]:
    """Return symbolic inputs; those that vary have unknown batch size and length."""
    return {
        name: keras.KerasTensor(
            tuple(
                None
                if name in (varying or ()) and axis < value.ndim - (value.dtype.kind == "f")
                else size
                for axis, size in enumerate(value.shape)
            ),
            dtype=str(value.dtype),
        )
        for name, value in inputs.items()
    }


def _jit_tensorflow(layer: keras.layers.Layer, tensors: dict[str, Any]) -> Any:
    import tensorflow as tf

    return tf.function(lambda arguments: layer(**arguments), jit_compile=True)(tensors)


def _jit_jax(layer: keras.layers.Layer, tensors: dict[str, Any]) -> Any:
    import jax

    return jax.jit(lambda arguments: layer(**arguments))(tensors)


def _jit_torch(layer: keras.layers.Layer, tensors: dict[str, Any]) -> Any:
    import torch

    # The whole graph in one piece, as an exporter needs it.
    return torch.export.export(layer, (), kwargs=tensors, strict=False).module()(**tensors)


def _gradients_tensorflow(
    layer: keras.layers.Layer, inputs: Inputs, cotangent: Array
) -> dict[str, Array | None]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(**inputs) * cotangent)
    variables = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, variables)
    dense = [None if g is None else tf.convert_to_tensor(g).numpy() for g in gradients]
    return dict(zip(named_weights(layer), dense, strict=True))


def _gradients_jax(
    layer: keras.layers.Layer, inputs: Inputs, cotangent: Array
) -> dict[str, Array | None]:
    import jax

    def loss(trainable: list[Any]) -> Any:
        output, _ = layer.stateless_call(trainable, layer.non_trainable_variables, **inputs)
        return (output * cotangent).sum()

    gradients = jax.jit(jax.grad(loss))([variable.value for variable in layer.trainable_variables])
    return dict(zip(named_weights(layer), map(np.asarray, gradients), strict=True))


def _gradients_torch(
    layer: keras.layers.Layer, inputs: Inputs, cotangent: Array
) -> dict[str, Array | None]:
    import torch

    layer.zero_grad()
    (layer(**inputs) * torch.from_numpy(cotangent)).sum().backward()
    gradients = [variable.value.grad for variable in layer.trainable_variables]
    dense = [None if gradient is None else gradient.numpy() for gradient in gradients]
    return dict(zip(named_weights(layer), dense, strict=True))


COMPILERS = {"tensorflow": _jit_tensorflow, "jax": _jit_jax, "torch": _jit_torch}
GRADIENTS = {
    "tensorflow": _gradients_tensorflow,
    "jax": _gradients_jax,
    "torch": _gradients_torch,
}
