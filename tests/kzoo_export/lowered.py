"""Models lowered in the process of the test, for matrices of many small files.

A run lowers from its own backend: TensorFlow's makes the TFLite files, PyTorch's the ONNX files.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from kzoo.layers import static_graph
from kzoo_export.lowering.routes import ROUTES, file_name
from kzoo_export.recipe import Recipe
from kzoo_export.source.names import file_dtype
from kzoo_export.spec import Signature, Spec, TensorSpec
from tests.arrays import Inputs, to_numpy

# The route that lowers from the backend of this run; empty for JAX, which lowers no format.
ROUTE = {"tensorflow": "tensorflow", "torch": "torch"}.get(keras.config.backend(), "")


class Lowered(NamedTuple):
    """A model with static shapes and named outputs, its lowered form, and what it computes."""

    inputs: Inputs
    outputs: dict[str, np.ndarray]
    spec: Spec
    path: Path


def lower(model: keras.Model, inputs: Inputs, folder: Path) -> Lowered:
    """Lower a model, and compute what its file must."""
    outputs = {name: to_numpy(value) for name, value in model(inputs, training=False).items()}
    signature = Signature(describe(inputs), describe(outputs))
    spec = Spec(ROUTES[ROUTE].format, ROUTE, (signature,))
    path = folder / file_name(spec.format)
    with static_graph():
        lowering = importlib.import_module(f"kzoo_export.lowering.{ROUTE}")
        lowering.lower(model, spec, path)
    fed = {tensor.name: inputs[tensor.name].astype(tensor.dtype) for tensor in signature.inputs}
    return Lowered(fed, outputs, spec, path)


def make(lowered: Lowered, target: Path, recipe: Recipe) -> None:
    """Write the file of a recipe."""
    quantizer = importlib.import_module(f"kzoo_export.{lowered.spec.format}.quantize")
    samples = None
    if quantizer.calibrates(recipe):
        # As many rows as calibration asks for.
        samples = {name: np.concatenate([array] * 8) for name, array in lowered.inputs.items()}
    quantizer.quantize(lowered.path, target, recipe, samples)


def describe(arrays: Mapping[str, np.ndarray]) -> tuple[TensorSpec, ...]:
    """Describe arrays as the file will take or give them."""
    return tuple(
        TensorSpec(name, array.shape, file_dtype(array.dtype.name))
        for name, array in arrays.items()
    )
