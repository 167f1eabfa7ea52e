"""The reference: what a model gives for samples, in the process and on the backend of the user."""

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kzoo_export.source.names import named_inputs, named_outputs, pack_inputs
from kzoo_export.trials import batches

_BATCH_SIZE = 16


def reference_outputs(
    model: keras.Model, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Call a model on samples, in inference mode and in the form it is trained and served in.

    Args:
        model: The model.
        arrays: Samples by input name.

    Returns:
        Outputs by name, one row for each sample.

    Raises:
        ValueError: If an output has no finite number.
    """
    inputs = named_inputs(model)
    num_rows = len(next(iter(arrays.values())))
    fixed = next(iter(inputs.values())).shape[0]
    collected = []
    for batch in batches(arrays, fixed or min(_BATCH_SIZE, num_rows)):
        tensors = {
            name: keras.ops.convert_to_tensor(batch[name], dtype=tensor.dtype)
            for name, tensor in inputs.items()
        }
        with _inference():
            outputs = named_outputs(model, model(pack_inputs(model, tensors), training=False))
        collected.append({name: _to_numpy(value) for name, value in outputs.items()})
    merged = {
        name: np.concatenate([batch[name] for batch in collected])[:num_rows]
        for name in collected[0]
    }
    _check_finite(merged)
    return merged


def _inference() -> Any:
    """Keep PyTorch from recording the graph of a backward pass."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _to_numpy(tensor: Any) -> np.ndarray:
    array = keras.ops.convert_to_numpy(tensor)
    # bfloat16 and float16 become float32, which the file gives.
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
    return array.astype("float32") if is_float else array


def _check_finite(outputs: Mapping[str, np.ndarray]) -> None:
    """Require something that can be compared: a mask of -inf is fine, nothing but NaN is not."""
    for name, array in outputs.items():
        if not np.isfinite(array).any():
            raise ValueError(
                "`model` must give finite numbers on the samples. "
                f"Received: an output {name!r} with nothing but NaN or infinity"
            )
