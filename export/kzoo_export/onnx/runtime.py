"""Run an `.onnx` file in ONNX Runtime, on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo_export.errors import cannot_run
from kzoo_export.spec import TensorSpec

_ERRORS_ONLY = 3
# How ONNX Runtime spells the element types of tensors.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class Runner:
    """A loaded file: a function from arrays by name to arrays by name."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = tuple(_describe(value) for value in session.get_inputs())
        self.outputs = tuple(_describe(value) for value in session.get_outputs())

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the file once.

        Args:
            feed: One array for each input, of the file's own shape and dtype.

        Returns:
            The outputs by name.

        Raises:
            ExportError: If the runtime cannot compute them.
        """
        arrays = {tensor.name: np.ascontiguousarray(feed[tensor.name]) for tensor in self.inputs}
        try:
            results = self._session.run(None, arrays)
        except Exception as error:  # ONNX Runtime raises classes of its own.
            raise cannot_run("ONNX Runtime", arrays, error) from error
        return {tensor.name: result for tensor, result in zip(self.outputs, results, strict=True)}


def load(path: str | Path, threads: int | None = None) -> Runner:
    """Load a file.

    Args:
        path: The `.onnx` file.
        threads: Threads of the runtime, or `None` for its own choice.

    Returns:
        The loaded file.

    Raises:
        ValueError: If ONNX Runtime cannot load the file.
    """
    require_packages(("onnxruntime",), "onnx", "running .onnx files")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Threads of a session that waits would keep the processor busy while another one is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base.
        raise ValueError(
            f"`path` must be a file ONNX Runtime can load. Received: path={str(path)!r} ({error})"
        ) from error
    return Runner(session)


def _describe(value: Any) -> TensorSpec:
    """Describe an input or output; an axis that is not fixed has the size -1."""
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSpec(value.name, shape, _DTYPES.get(value.type, value.type))
