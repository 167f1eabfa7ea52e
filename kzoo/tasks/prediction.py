"""Outputs for many rows, in batches of similar length."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kzoo.data.batching import (
    COMPILED,
    EAGER,
    Widths,
    batches_of_similar_length,
    power_of_two,
    real_widths,
)


def backend_widths() -> Widths:
    """Return the widths that batches should have: PyTorch alone compiles nothing for them."""
    return EAGER if keras.config.backend() == "torch" else COMPILED


def predict_rows(
    model: Any,
    output: str,
    inputs: Mapping[str, np.ndarray],
    batch_size: int,
) -> np.ndarray:
    """Compute an output of a model, in batches of few shapes.

    Args:
        model: The model.
        output: The name of its output.
        inputs: Arrays by name, (N, T), N at least 1.
        batch_size: Most rows in a batch.

    Returns:
        float32 (N, ...), in the order of the rows.
    """
    mask = inputs["padding_mask"]
    found = np.zeros((len(mask), model.output[output].shape[-1]), "float32")
    lengths, widths = real_widths(mask), backend_widths()
    batches = batches_of_similar_length(lengths, batch_size, mask.shape[1], widths)
    for rows, width in batches:
        padded = np.resize(rows, min(power_of_two(len(rows)), batch_size))
        batch = {name: array[padded, :width] for name, array in inputs.items()}
        found[rows] = model.predict_on_batch(batch)[output][: len(rows)]
    return found
