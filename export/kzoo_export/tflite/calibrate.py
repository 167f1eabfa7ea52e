"""Calibrate: what the tensors of a float `.tflite` file hold when it runs on samples."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from kzoo_export.calibration import check_measured
from kzoo_export.gptq import Moments, merge, moments_of
from kzoo_export.tflite import flatbuffer
from kzoo_export.trials import batches, run_rows

Arrays = Mapping[str, np.ndarray]
# LiteRT warns of the memory of what is wanted here.
KEEPS_ALL = ".*experimental_preserve_all_tensors"
Ranges = dict[str, tuple[float, float]]


def measure_ranges(content: bytes, samples: Arrays) -> Ranges:
    """Run a file on samples and keep the least and the largest number of each float tensor.

    Args:
        content: The float32 file.
        samples: Arrays by input name.

    Returns:
        The ranges by the name of the tensor, of those that are computed.

    Raises:
        ValueError: If a tensor holds NaN or infinity.
    """
    ranges: Ranges = {}
    for _, read in _run(content, samples):
        for name, tensor in read():
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(tensor.min())), max(high, float(tensor.max())))
            check_measured(name, *map(np.array, ranges[name]))
    return ranges


def measure_channels(content: bytes, samples: Arrays) -> dict[str, np.ndarray]:
    """Run a file on samples and keep the largest magnitude of each channel of each float tensor.

    Args:
        content: The float32 file.
        samples: Arrays by input name.

    Returns:
        Arrays (D,) by the name of the tensor, of those that are computed and have a last axis.
    """
    channels: dict[str, np.ndarray] = {}
    for _, read in _run(content, samples):
        for name, tensor in read():
            if tensor.ndim > 1:
                largest = np.abs(tensor).reshape(-1, tensor.shape[-1]).max(axis=0)
                channels[name] = np.maximum(channels.get(name, 0.0), largest)
    return channels


def measure_moments(
    content: bytes, samples: Arrays, names: Set[str], mask: str | None = None
) -> dict[str, Moments]:
    """Run a file on samples and add up products of channels of some tensors.

    Args:
        content: The float32 file.
        samples: Arrays by input name.
        names: The tensors.
        mask: The input that is a padding mask (B, T): of tensors with a row for each token, only
            real positions count.

    Returns:
        The moments of the rows (D,) of each tensor, by its name.
    """
    found: dict[str, Moments] = {}
    for batch, read in _run(content, samples):
        real = None if mask is None else batch[mask]
        for name, tensor in read():
            if name in names:
                moments = moments_of(tensor, real)
                found[name] = merge((found[name], moments)) if name in found else moments
    return found


def run_outputs(content: bytes, samples: Arrays) -> dict[str, np.ndarray]:
    """Run a file on samples.

    Args:
        content: The file.
        samples: Arrays by input name.

    Returns:
        The outputs by name, a row for each sample.
    """
    from ai_edge_litert.interpreter import Interpreter

    call, rows = _signature(Interpreter(model_content=content, num_threads=2))
    return run_rows(lambda batch: call(**batch), _needed(call, samples), rows)


def _run(
    content: bytes, samples: Arrays
) -> Iterator[tuple[Arrays, Callable[[], Iterator[tuple[str, np.ndarray]]]]]:
    """Run a file on samples, one batch after the other, with every tensor kept.

    Args:
        content: The file.
        samples: Arrays by input name.

    Yields:
        Each batch, and a function that reads the float32 tensors that were computed, by name.
    """
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=KEEPS_ALL)
        interpreter = Interpreter(
            model_content=content, num_threads=2, experimental_preserve_all_tensors=True
        )
    call, rows = _signature(interpreter)
    computed = _computed_floats(content)

    def read() -> Iterator[tuple[str, np.ndarray]]:
        for index, name in computed.items():
            tensor = _read(interpreter, index)
            if tensor is not None and tensor.size:
                yield name, tensor

    for batch in batches(_needed(call, samples), rows):
        call(**batch)
        yield batch, read


def _signature(interpreter: Any) -> tuple[Any, int]:
    """Return the first signature of a file, and the rows of its batches."""
    call = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    details = next(iter(call.get_input_details().values()))
    return call, max(1, int(details["shape_signature"][0]))


def _needed(call: Any, samples: Arrays) -> dict[str, np.ndarray]:
    """Take the samples of the inputs that a signature has."""
    return {name: samples[name] for name in call.get_input_details()}


def _computed_floats(content: bytes) -> dict[int, str]:
    """Name the float32 tensors of the first graph that are no constants."""
    from ai_edge_litert import schema_py_generated as schema

    model = flatbuffer.read(content)
    return {
        index: tensor.name.decode()
        for index, tensor in enumerate(model.subgraphs[0].tensors)
        if tensor.type == schema.TensorType.FLOAT32 and model.buffers[tensor.buffer].data is None
    }


def _read(interpreter: Any, index: int) -> np.ndarray | None:
    """Read a tensor; one that no operation of the run has computed has no data."""
    try:
        return np.asarray(interpreter.get_tensor(index))
    except ValueError:
        return None
