"""How Keras is to compute while it is traced for a file."""

import contextlib
import functools
import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kzoo_export.spec import OPEN, Signature

# A recurrent layer over more steps stays a loop: its file would be too large.
_MOST_STEPS = 128


@contextlib.contextmanager
def exportable_forms(model: keras.Model, signature: Signature) -> Iterator[None]:
    """Have Keras compute the same numbers with operations that converters have.

    A recurrent layer that returns every step is unrolled, for the list it collects steps in has no
    static shape. The sign of a number, which `argmax` looks at, is read off by arithmetic instead
    of off its bits. TensorFlow adds any vector as the bias of channels, be it a column or not.

    Args:
        model: The model that is traced; its layers are changed and may not be trained again.
        signature: The signature that is traced.

    Yields:
        While the forms are in place.
    """
    operations: Any = importlib.import_module(f"keras.src.backend.{keras.backend.backend()}.numpy")
    sizes = [size for entry in signature.inputs for size in entry.shape[1:2]]
    steps = math.inf if OPEN in sizes else max(sizes, default=0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN) and layer.return_sequences:
            layer.unroll = layer.unroll or steps <= _MOST_STEPS
    forms = {"signbit": _signbit}
    if keras.backend.backend() == "tensorflow":
        forms["add"] = functools.partial(_add, operations.add)
    originals = {name: getattr(operations, name) for name in forms}
    vars(operations).update(forms)
    try:
        yield
    finally:
        vars(operations).update(originals)


@contextlib.contextmanager
def computing_as(backend: str) -> Iterator[None]:
    """Have Keras compute on this backend what it computes on another one, where the two differ.

    Average pooling over a one-sided padding repeats the edge on PyTorch; TensorFlow and JAX leave
    the padding out of the average.

    Args:
        backend: The backend whose numbers the file must give.

    Yields:
        While the forms are in place.
    """
    if keras.backend.backend() != "torch" or backend == "torch":
        yield
        return
    from keras.src.backend.torch import nn

    original = nn.average_pool

    def average_pool(inputs: Any, pool_size: Any, strides: Any, padding: str, *rest: Any) -> Any:
        if padding != "same":
            return original(inputs, pool_size, strides, padding, *rest)
        return _average_inside(original, inputs, pool_size, strides, *rest)

    nn.average_pool = average_pool
    try:
        yield
    finally:
        nn.average_pool = original


def _average_inside(
    average_pool: Any, inputs: Any, pool_size: Any, strides: Any, data_format: Any
) -> Any:
    """Average what is inside the input: the average with zeros around it by the share inside."""
    data_format = data_format or keras.config.image_data_format()
    rank = len(inputs.shape) - 2
    pools = (pool_size,) * rank if isinstance(pool_size, int) else tuple(pool_size)
    steps = (strides,) * rank if isinstance(strides, int) else tuple(strides or pools)
    first = 1 if data_format == "channels_last" else 2
    widths, share = [(0, 0)] * len(inputs.shape), np.ones((1,) * len(inputs.shape), "float32")
    for axis, (pool, step) in enumerate(zip(pools, steps, strict=True), first):
        size = inputs.shape[axis]
        starts = np.arange(-(-size // step)) * step
        total = max(int(starts[-1]) + pool - size, 0)
        widths[axis] = (total // 2, total - total // 2)
        starts = starts - total // 2
        inside = np.minimum(starts + pool, size) - np.maximum(starts, 0)
        shape = [1] * len(inputs.shape)
        shape[axis] = len(inside)
        share = share * (inside / pool).astype("float32").reshape(shape)
    padded = keras.ops.pad(inputs, widths)
    return average_pool(padded, pools, steps, "valid", data_format) / keras.ops.convert_to_tensor(
        share
    )


def _add(add: Callable[[Any, Any], Any], x1: Any, x2: Any) -> Any:
    """Add a bias as Keras does, and all else as it is written.

    Keras takes a column of as many numbers as `x1` has channels first for their bias, which
    TensorFlow's converter refuses, and adds it to rows where `x1` is square.
    """
    first, second = (list(getattr(each, "shape", ())) for each in (x1, x2))
    if not (first and second) or first[-1] == second[-1] != 1:
        return add(x1, x2)
    import tensorflow as tf

    dtype = keras.backend.result_type(x1.dtype, x2.dtype)
    return tf.add(*(keras.ops.convert_to_tensor(each, dtype) for each in (x1, x2)))


def _signbit(x: Any) -> Any:
    """Tell whether numbers have a minus sign, -0.0 included."""
    x = keras.ops.convert_to_tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    negative = x < keras.ops.zeros((), dtype)
    if not keras.backend.is_float_dtype(dtype):
        return negative
    return keras.ops.logical_or(negative, 1.0 / x < 0.0)
