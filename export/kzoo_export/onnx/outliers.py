"""Find the few channels of activations that would take the whole range of 8 bits for themselves.

Dynamic quantization gives one scale to all of an activation. In transformers a handful of channels
is an order of magnitude larger than the rest, which is then left with a few of the 256 steps. A
look at samples tells which; they are multiplied in float32 (the idea is that of Dettmers et al.,
LLM.int8(), 2022, section 3.2, with the channels chosen once).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.products import products

# An outlier is this many times larger than the median channel...
_TIMES_MEDIAN = 2.5
# ...and at most this many of them are taken out of a product; the largest.
_MOST = 16
# Worth it only if the range of what remains shrinks by this factor.
_WORTHWHILE = 0.75
# Rows of samples that are looked at.
_ROWS = 64


def find(model: ir.Model, samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Find the outlying channels of whatever enters a product with a weight.

    Args:
        model: The float32 model.
        samples: Inputs by name, any number of rows.

    Returns:
        The channels, by the name of the value that enters a product; values without outliers are
        left out.
    """
    names = {product.activation.name for product in products(model.graph)}
    found = {}
    for name, largest in _largest(model, sorted(names), samples).items():
        channels = _outlying(largest)
        if len(channels):
            found[name] = channels
    return found


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


def _largest(
    model: ir.Model, names: Sequence[str], samples: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Run the float32 model and keep the largest magnitude of every channel."""
    given = {name: _channels(samples[name]) for name in names if name in samples}
    computed = [name for name in names if name not in given]
    if not computed:
        return given
    session = _probe(model, computed)
    batch_size = int(model.graph.inputs[0].shape[0])
    inputs = [value.name for value in model.graph.inputs]
    rows = min(_ROWS, len(samples[inputs[0]]))
    found = [np.zeros(0, np.float32)] * len(computed)
    for start in range(0, max(rows - batch_size, 0) + 1, batch_size):
        chosen = np.arange(start, start + batch_size) % len(samples[inputs[0]])
        outputs = session.run(computed, {name: samples[name][chosen] for name in inputs})
        found = [
            np.maximum(_channels(array), before if before.size else 0.0)
            for array, before in zip(outputs, found, strict=True)
        ]
    return {**given, **dict(zip(computed, found, strict=True))}


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


def _outlying(largest: np.ndarray) -> np.ndarray:
    """Pick the channels to keep out of an 8-bit product."""
    order = np.argsort(-largest, kind="stable")
    count = min(_MOST, int((largest > _TIMES_MEDIAN * np.median(largest)).sum()))
    if count == 0 or largest[order[count]] > _WORTHWHILE * largest[order[0]]:
        return order[:0]
    return np.sort(order[:count]).astype(np.int64)
