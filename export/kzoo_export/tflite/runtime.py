"""Run a `.tflite` file in LiteRT, by the names of its signature."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo_export.errors import cannot_run
from kzoo_export.spec import OPEN, TensorSpec


class Runner:
    """A loaded file: a function from arrays by name to arrays by name.

    Inputs and outputs whose integers stand for floats are these floats.
    """

    def __init__(self, interpreter: Any, signature: str) -> None:
        self._call = interpreter.get_signature_runner(signature)
        # The graph's own order is the documented one; a signature is sorted by name.
        self._inputs = _ordered(self._call.get_input_details(), interpreter.get_input_details())
        self._outputs = _ordered(self._call.get_output_details(), interpreter.get_output_details())
        self.inputs = tuple(tensor.as_float for tensor in self._inputs)
        self.outputs = tuple(tensor.as_float for tensor in self._outputs)

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file once.

        Args:
            feed: One array for each input, of the file's own shape and dtype.

        Returns:
            The outputs by name.

        Raises:
            ExportError: If the runtime cannot compute them.
        """
        arrays = {tensor.name: to_integers(feed[tensor.name], tensor) for tensor in self._inputs}
        try:
            outputs = self._call(**arrays)
        except (RuntimeError, ValueError) as error:
            raise cannot_run("LiteRT", arrays, error) from error
        return {tensor.name: to_floats(outputs[tensor.name], tensor) for tensor in self._outputs}


def to_integers(array: np.ndarray, tensor: TensorSpec) -> np.ndarray:
    """Write floats as the integers of an input; what is beyond their range is at its end.

    Args:
        array: What an input is given.
        tensor: The input, as it is in the file.

    Returns:
        What the file reads.
    """
    if tensor.quantization is None:
        return array
    scale, zero_point = tensor.quantization
    limits = np.iinfo(tensor.dtype)
    integers = np.rint(array / np.float32(scale)) + zero_point
    return integers.clip(limits.min, limits.max).astype(tensor.dtype)


def to_floats(array: np.ndarray, tensor: TensorSpec) -> np.ndarray:
    """Read the integers of an output as the floats that they stand for.

    Args:
        array: What the file computed.
        tensor: The output, as it is in the file.

    Returns:
        The floats, or the array where it stands for nothing else.
    """
    if tensor.quantization is None:
        return array
    scale, zero_point = tensor.quantization
    return (array.astype(np.float32) - zero_point) * np.float32(scale)


def load(path: str | Path, threads: int | None = None) -> Runner:
    """Load a file.

    Args:
        path: The `.tflite` file.
        threads: Threads of the runtime, or `None` for its own choice.

    Returns:
        The loaded file.

    Raises:
        ValueError: If the file is not a TFLite file, or has no signature.
    """
    require_packages(("ai_edge_litert",), "tflite", "running .tflite files")
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        # Open axes get their sizes in a call: with 1 in their place, some kernels have no output.
        inputs = interpreter.get_input_details()
        if all(OPEN not in detail["shape_signature"] for detail in inputs):
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"`path` must be a file LiteRT can load. Received: path={str(path)!r} ({error})"
        ) from error
    signatures = list(interpreter.get_signature_list())
    if not signatures:
        raise ValueError(f"`path` must be a TFLite file with a signature. Received: path={path}")
    return Runner(interpreter, signatures[0])


def _ordered(
    named: Mapping[str, Mapping[str, Any]], details: list[Mapping[str, Any]]
) -> tuple[TensorSpec, ...]:
    """Describe the tensors of a signature in the order of the graph."""
    position = {detail["index"]: place for place, detail in enumerate(details)}
    names = sorted(named, key=lambda name: position.get(named[name]["index"], len(position)))
    return tuple(
        TensorSpec(
            name=name,
            shape=tuple(int(size) for size in named[name]["shape_signature"]),
            dtype=np.dtype(named[name]["dtype"]).name,
            quantization=_quantization(named[name]["quantization_parameters"]),
        )
        for name in names
    )


def _quantization(parameters: Mapping[str, np.ndarray]) -> tuple[float, int] | None:
    """Read the scale and the zero point of a tensor that has one of each."""
    scales, zero_points = parameters["scales"], parameters["zero_points"]
    return (float(scales[0]), int(zero_points[0])) if len(scales) == 1 else None
