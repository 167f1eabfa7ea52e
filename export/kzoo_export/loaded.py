"""A file that a runtime has loaded, by the names of its inputs and outputs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kzoo_export.errors import cannot_run
from kzoo_export.spec import TensorSpec

Arrays = Mapping[str, np.ndarray]


class LoadedFile:
    """A loaded file: a function from arrays by name to arrays by name.

    Inputs and outputs whose integers stand for floats are these floats.

    Args:
        runtime: The name of the runtime, for messages.
        inputs: The inputs, as they are in the file.
        outputs: The outputs, as they are in the file.
        call: Runs the file once, on arrays by name in the order of the inputs; it gives outputs by
            name.
    """

    def __init__(
        self,
        runtime: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        call: Callable[[dict[str, np.ndarray]], Arrays],
    ) -> None:
        self.inputs = tuple(tensor.as_float for tensor in inputs)
        self.outputs = tuple(tensor.as_float for tensor in outputs)
        self._runtime = runtime
        self._inputs, self._outputs = inputs, outputs
        self._call = call

    def __call__(self, feed: Arrays) -> dict[str, np.ndarray]:
        """Run the file once.

        Args:
            feed: One array for each input, of the file's own shape and dtype.

        Returns:
            The outputs by name.

        Raises:
            ExportError: If the runtime cannot compute them.
        """
        arrays = {tensor.name: _to_integers(feed[tensor.name], tensor) for tensor in self._inputs}
        try:
            outputs = self._call(arrays)
        except Exception as error:  # Runtimes raise classes of their own, without a common base.
            raise cannot_run(self._runtime, arrays, error) from error
        return {tensor.name: _to_floats(outputs[tensor.name], tensor) for tensor in self._outputs}


def _to_integers(array: np.ndarray, tensor: TensorSpec) -> np.ndarray:
    """Write floats as the integers of an input; what is beyond their range is at its end."""
    if tensor.quantization is None:
        return array
    scale, zero_point = tensor.quantization
    limits = np.iinfo(tensor.dtype)
    integers = np.rint(array / np.float32(scale)) + zero_point
    return integers.clip(limits.min, limits.max).astype(tensor.dtype)


def _to_floats(array: np.ndarray, tensor: TensorSpec) -> np.ndarray:
    """Read the integers of an output as the floats that they stand for."""
    if tensor.quantization is None:
        return array
    scale, zero_point = tensor.quantization
    return (array.astype(np.float32) - zero_point) * np.float32(scale)
