"""Calibrate: what the values of a float `.onnx` graph hold when it runs on samples."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.artifact.compare import compare_with
from kzoo_export.calibration import check_measured
from kzoo_export.gptq import Moments, merge, moments_of
from kzoo_export.onnx.passes.graph import products
from kzoo_export.spec import Signature
from kzoo_export.trials import batches, run_rows

# Rows of samples that show which channels are large.
_ROWS = 64
# The size of an open axis where no samples are known.
_OPEN_LENGTH = 16

Arrays = Mapping[str, np.ndarray]


def few(samples: Arrays) -> dict[str, np.ndarray]:
    """Take as many rows of samples as show which channels are large.

    Args:
        samples: Inputs by name, any number of rows.

    Returns:
        The first rows.
    """
    return {name: array[:_ROWS] for name, array in samples.items()}


def measure_channels(model: ir.Model, samples: Arrays) -> dict[str, np.ndarray]:
    """Run the float32 model and keep the least and the largest number of every channel.

    Args:
        model: The float32 model.
        samples: Inputs by name, any number of rows.

    Returns:
        Two numbers for each channel (D, 2), by the name of each value that enters a product with a
        weight.

    Raises:
        ValueError: If a value holds NaN or infinity.
    """
    names = {product.activation.name for product in products(model.graph)}
    found: dict[str, np.ndarray] = {}
    for batch in _run(model, names, samples):
        for name in names:
            rows = batch[name].reshape(-1, batch[name].shape[-1])
            low, high = rows.min(axis=0), rows.max(axis=0)
            check_measured(name, low, high)
            if name in found:
                low = np.minimum(low, found[name][:, 0])
                high = np.maximum(high, found[name][:, 1])
            found[name] = np.stack([low, high], axis=1)
    return found


def measure_moments(
    model: ir.Model, samples: Arrays, names: Collection[str], mask: str | None = None
) -> dict[str, Moments]:
    """Run the float32 model and add up products of channels of some values.

    Args:
        model: The float32 model.
        samples: Inputs by name.
        names: The values.
        mask: The input that is a padding mask (B, T): of values with a row for each token, only
            real positions count.

    Returns:
        The moments of the rows (D,) of each value, by its name.
    """
    found: dict[str, Moments] = {}
    for batch in _run(model, names, samples):
        real = None if mask is None else batch[mask]
        for name in names:
            moments = moments_of(batch[name], real)
            found[name] = merge((found[name], moments)) if name in found else moments
    return found


def loss_meter(
    model: ir.Model, constants: Collection[str], samples: Arrays, signature: Signature
) -> Callable[[Arrays], float]:
    """Prepare to measure what outputs lose where constants have other numbers.

    Args:
        model: The float32 model.
        constants: The names of all constants that will have other numbers.
        samples: Inputs by name, a few rows of which are run.
        signature: The kinds of inputs and outputs, by which these are compared.

    Returns:
        A function of the other numbers of some constants, by name: the mean of what outputs lose.
    """
    opened = model.clone()
    for name in constants:
        opened.graph.inputs.append(opened.graph.initializers[name])
    session = _session(opened)

    def run(numbers: Arrays, rows: Arrays) -> dict[str, np.ndarray]:
        return _run_outputs(session, model, rows, numbers)

    return compare_with(run, {}, samples, signature)


def models_loss_meter(
    model: ir.Model, samples: Arrays, signature: Signature
) -> Callable[[ir.Model], float]:
    """Prepare to measure what the outputs of other models lose.

    Args:
        model: The float32 model.
        samples: Inputs by name, a few rows of which are run.
        signature: The kinds of inputs and outputs, by which these are compared.

    Returns:
        A function of another model with the same inputs and outputs: the mean of what they lose.
    """

    def run(other: ir.Model, rows: Arrays) -> dict[str, np.ndarray]:
        return _run_outputs(_session(other), model, rows, {})

    return compare_with(run, model, samples, signature)


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
    first, *rest = value.shape
    sizes = [_size(first), *(_size(size, _OPEN_LENGTH) for size in rest)]
    shape = (-(-_ROWS // sizes[0]) * sizes[0], *sizes[1:])
    dtype = value.dtype.numpy()
    if np.issubdtype(dtype, np.floating):
        return generator.normal(size=shape).astype(dtype)
    highest = max(_table_sizes(value), default=2)
    return generator.integers(1, highest, shape, dtype=dtype)


def _run_outputs(
    session: Any, model: ir.Model, samples: Arrays, others: Arrays
) -> dict[str, np.ndarray]:
    """Run a session of a model on samples, with the same other inputs for every batch."""
    outputs = [str(value.name) for value in model.graph.outputs]
    inputs = [str(value.name) for value in model.graph.inputs]

    def call(batch: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, {**batch, **others}), strict=True))

    return run_rows(call, {name: samples[name] for name in inputs}, _batch_size(model))


def _size(size: Any, otherwise: int = 1) -> int:
    """Return the size of an axis, or another one where it is open."""
    return size if isinstance(size, int) else otherwise


def _batch_size(model: ir.Model) -> int:
    """Return the rows of a batch, one where they are open."""
    return _size(model.graph.inputs[0].shape[0])


def _table_sizes(value: ir.Value) -> list[int]:
    """Sizes of the tables that a value looks up, directly or after a cast."""
    sizes = []
    for node, place in value.uses():
        if node.op_type == "Cast":
            sizes += _table_sizes(node.outputs[0])
        elif node.op_type == "Gather" and place == 1 and node.inputs[0].const_value is not None:
            sizes.append(int(node.inputs[0].shape[0]))
    return sizes


def _run(
    model: ir.Model, names: Collection[str], samples: Arrays
) -> Iterator[dict[str, np.ndarray]]:
    """Run a model on samples, one batch after the other.

    Args:
        model: The model.
        names: The values to read.
        samples: Inputs by name.

    Yields:
        The arrays of inputs and of the values, by name.
    """
    inputs = [str(value.name) for value in model.graph.inputs]
    computed = sorted(set(names) - set(inputs))
    session = _probe(model, computed) if computed else None
    for batch in batches({name: samples[name] for name in inputs}, _batch_size(model)):
        outputs = session.run(computed, batch) if session else []
        yield {**batch, **dict(zip(computed, outputs, strict=True))}


def _probe(model: ir.Model, names: Sequence[str]) -> Any:
    """Load the model with other values as its outputs."""
    probed = model.clone()
    values = {value.name: value for node in probed.graph for value in node.outputs}
    probed.graph.outputs.clear()
    probed.graph.outputs.extend(values[name] for name in names)
    return _session(probed)


def _session(model: ir.Model) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
