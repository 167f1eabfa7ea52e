"""Run an `.onnx` file in ONNX Runtime, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo_export.loaded import LoadedFile
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


def load(path: str | Path, threads: int | None = None) -> LoadedFile:
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
    inputs, outputs = (
        tuple(map(_describe, side)) for side in (session.get_inputs(), session.get_outputs())
    )

    def call(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        feed = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        results = session.run(None, feed)
        return {tensor.name: result for tensor, result in zip(outputs, results, strict=True)}

    return LoadedFile("ONNX Runtime", inputs, outputs, call)


def _describe(value: Any) -> TensorSpec:
    """Describe an input or output; an axis that is not fixed has the size -1."""
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSpec(value.name, shape, _DTYPES.get(value.type, value.type))
