"""Run a `.tflite` file in LiteRT, by the names of its signature."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo_export.loaded import LoadedFile
from kzoo_export.spec import OPEN, TensorSpec


def load(path: str | Path, threads: int | None = None) -> LoadedFile:
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
    run = interpreter.get_signature_runner(signatures[0])
    # The graph's own order is the documented one; a signature is sorted by name.
    return LoadedFile(
        "LiteRT",
        _ordered(run.get_input_details(), interpreter.get_input_details()),
        _ordered(run.get_output_details(), interpreter.get_output_details()),
        lambda arrays: run(**arrays),
    )


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
