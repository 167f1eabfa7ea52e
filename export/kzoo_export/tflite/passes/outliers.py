"""Move outlier channels where they cost nothing: one scale must hold all channels of a tensor.

Two rewrites, both exact. What a dense layer computes is divided by the magnitude of each channel,
which its weights and its bias take up, and multiplied by it again afterwards, in 16 bits (Nagel et
al., 2019, Data-Free Quantization Through Weight Equalization, section 4.1). What a dense layer
reads is divided by a factor a channel that its kernel takes up, which divides the outliers between
activations and weights (Xiao et al., 2023, SmoothQuant, equation 4).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.outliers import outlying, smoothing_factors
from kzoo_export.tflite.passes.graph import Graph, rewrite

_Op = schema.BuiltinOperator
# How much of the outliers goes into the weights, and how much the other channels are enlarged for
# it. Strengths of 0.5 and 0.8 lose more of MiniLM's least cosine.
_STRENGTH = 0.65
_SMALLEST_FACTOR = 0.9
# Channels below this share of the largest are next to nothing: samples tell little about them.
_SMALLEST = 1e-3
# Activations within a dense layer that a positive factor passes through.
_LINEAR = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)

Magnitudes = Mapping[str, np.ndarray]


def move_outliers(model: Any, magnitudes: Magnitudes) -> None:
    """Rewrite the dense layers that compute or read outliers, in place; results stay the same.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        magnitudes: The largest magnitude of each channel of computed tensors, on samples.
    """
    rewrite(model, lambda graph, operator: _smooth_inputs(graph, operator, magnitudes))
    rewrite(model, lambda graph, operator: _scale_result(graph, operator, magnitudes))


def _is_dense(graph: Graph, operator: Any) -> bool:
    """Tell a dense layer whose weights are nobody else's."""
    if graph.operation(operator) != _Op.FULLY_CONNECTED:
        return False
    weights = [tensor for tensor in operator.inputs[1:] if tensor >= 0]
    known = all(graph.constant(each) is not None for each in weights)
    return known and all(len(graph.readers(each)) == 1 for each in weights)


def _scale_result(graph: Graph, operator: Any, magnitudes: Magnitudes) -> None:
    """Let a dense layer compute channels of equal magnitude, which are scaled afterwards."""
    result = operator.outputs[0] if len(operator.outputs) else -1
    channels = magnitudes.get(graph.name(result)) if _is_dense(graph, operator) else None
    if channels is None or not len(outlying(channels)):
        return
    if operator.builtinOptions.fusedActivationFunction not in _LINEAR:
        return
    smallest = _SMALLEST * channels.max()
    factors = np.maximum(channels, smallest).astype(np.float32)
    kernel, *bias = (tensor for tensor in operator.inputs[1:] if tensor >= 0)
    graph.set_constant(kernel, graph.weight(kernel) / factors[:, None])
    for tensor in bias:
        graph.set_constant(tensor, graph.weight(tensor) / factors)
    name = graph.name(result)
    constant = graph.add_constant(factors, f"{name}/factors")
    graph.redirect(result, graph.compute(_Op.MUL, [result, constant], result, f"{name}/scaled"))


def _smooth_inputs(graph: Graph, operator: Any, magnitudes: Magnitudes) -> None:
    """Divide the channels of what dense layers read by factors that their kernels take up."""
    for tensor in operator.outputs:
        name = graph.name(tensor)
        channels = magnitudes.get(name)
        readers = [
            reader
            for reader in graph.readers(tensor)
            if reader.inputs[0] == tensor and _is_dense(graph, reader)
        ]
        if channels is None or not readers:
            continue
        matrices = [graph.weight(reader.inputs[1]).T for reader in readers]
        factors = smoothing_factors(channels, matrices, _STRENGTH, _SMALLEST_FACTOR)
        if factors is None:
            continue
        constant = graph.add_constant(1 / factors, f"{name}/factors")
        smooth = graph.compute(_Op.MUL, [tensor, constant], tensor, f"{name}/smooth")
        for reader in readers:
            kernel = reader.inputs[1]
            graph.set_constant(kernel, graph.weight(kernel) * factors)
            reader.inputs = [smooth, *reader.inputs[1:]]
