"""Find the channels of activations that would take the whole range of 8 bits for themselves.

Dynamic quantization gives one scale to all of an activation. In transformers a handful of channels
is an order of magnitude larger than the rest, which is then left with a few of the 256 steps. A
look at samples tells which.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes.matmuls import products

# An outlier is this many times larger than the median channel.
_TIMES_MEDIAN = 2.5
# Something is done about outliers only if they hold the range of the rest down to this share.
_WORTHWHILE = 0.75
# How much of an outlier is moved to the weights; the rest stays.
_STRENGTH = 0.8
# Small channels are not enlarged beyond this: unseen samples may have more in them.
_SMALLEST_FACTOR = 0.5
# Rows of samples that are looked at.
_ROWS = 64


def largest(model: ir.Model, samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run the float32 model and keep the largest magnitude of every channel.

    Args:
        model: The float32 model.
        samples: Inputs by name, any number of rows.

    Returns:
        One magnitude for each channel, by the name of each value that enters a product with a
        weight.
    """
    names = sorted({product.activation.name for product in products(model.graph)})
    given = {name: _channels(samples[name]) for name in names if name in samples}
    computed = [name for name in names if name not in given]
    if not computed:
        return given
    session = _probe(model, computed)
    batch_size = int(model.graph.inputs[0].shape[0])
    inputs = [value.name for value in model.graph.inputs]
    num_rows = len(samples[inputs[0]])
    found = [np.float32(0.0)] * len(computed)
    for start in range(0, min(_ROWS, num_rows), batch_size):
        rows = np.arange(start, start + batch_size) % num_rows
        outputs = session.run(computed, {name: samples[name][rows] for name in inputs})
        found = [np.maximum(_channels(a), before) for a, before in zip(outputs, found, strict=True)]
    return {**given, **dict(zip(computed, found, strict=True))}


def outlying(magnitudes: np.ndarray, most: int | None = None) -> np.ndarray:
    """Pick the channels that are much larger than the others.

    Args:
        magnitudes: The largest magnitude of each channel.
        most: How many are picked at most; the largest.

    Returns:
        Their indices, none if the range of the rest would hardly be smaller.
    """
    order = np.argsort(-magnitudes, kind="stable")
    count = int((magnitudes > _TIMES_MEDIAN * np.median(magnitudes)).sum())
    count = min(count, len(order) if most is None else most)
    rest = magnitudes[order[count]] if count < len(order) else 0.0
    worthwhile = count > 0 and rest <= _WORTHWHILE * magnitudes[order[0]]
    return np.sort(order[: count if worthwhile else 0]).astype(np.int64)


def smoothing(magnitudes: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray | None:
    """Choose what to divide channels by, and multiply the rows of their weights by instead.

    The product stays the same, while outliers and large weights share the loss of precision
    (Xiao et al., SmoothQuant, 2022, equation 4).

    Args:
        magnitudes: The largest magnitude of each channel, (K,).
        matrices: The weights (K, N) of all products that read the channels.

    Returns:
        One factor for each channel (K,), or `None` if there are no outliers.
    """
    if not len(outlying(magnitudes)):
        return None
    weights = np.max([np.abs(matrix).max(1) for matrix in matrices], axis=0)
    tiny = np.float32(1e-6)
    shares = [np.maximum(array, tiny * array.max() + tiny) for array in (magnitudes, weights)]
    factors = shares[0] ** _STRENGTH / shares[1] ** (1.0 - _STRENGTH)
    return np.maximum(factors / np.median(factors), _SMALLEST_FACTOR).astype(np.float32)


def random_samples(model: ir.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Make inputs for a model of which no samples are known.

    Args:
        model: The model.
        seed: Seed of the numbers.

    Returns:
        A few rows for each input: indices inside the tables they look up, ones for other integers,
        normal numbers for the rest.
    """
    generator = np.random.default_rng(seed)
    return {value.name: _random(value, generator) for value in model.graph.inputs}


def _random(value: ir.Value, generator: np.random.Generator) -> np.ndarray:
    sizes = [int(size) for size in value.shape]
    shape = (-(-_ROWS // sizes[0]) * sizes[0], *sizes[1:])
    dtype = value.dtype.numpy()
    if np.issubdtype(dtype, np.floating):
        return generator.normal(size=shape).astype(dtype)
    highest = max(_table_sizes(value), default=2)
    return generator.integers(1, highest, shape, dtype=dtype)


def _table_sizes(value: ir.Value) -> list[int]:
    """Sizes of the tables that a value looks up, directly or after a cast."""
    sizes = []
    for node, place in value.uses():
        if node.op_type == "Cast":
            sizes += _table_sizes(node.outputs[0])
        elif node.op_type == "Gather" and place == 1 and node.inputs[0].const_value is not None:
            sizes.append(int(node.inputs[0].shape[0]))
    return sizes


def _channels(array: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(array).reshape(-1, array.shape[-1]).max(0))


def _probe(model: ir.Model, names: Sequence[str]) -> Any:
    """Load the model with other values as its outputs."""
    import onnxruntime

    probed = model.clone()
    values = {value.name: value for node in probed.graph for value in node.outputs}
    probed.graph.outputs.clear()
    probed.graph.outputs.extend(values[name] for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        ir.to_proto(probed).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
