"""4-bit weights with rounding of our own, in the place of the quantizer's."""

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.errors import RecipeError
from kzoo_export.gptq import Moments, Rounded, mean_error, round_for_inputs, round_to_nearest
from kzoo_export.recipe import BLOCK
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.passes.graph import Graph

_Op = schema.BuiltinOperator
_INT4 = schema.TensorType.INT4


def inputs_of(model: Any, weights: Set[str]) -> dict[str, set[str]]:
    """Find what dense layers read beside their weights.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        weights: Names of weights that are to have 4 bits.

    Returns:
        The names of the activations by those of the weights; lookups read none.

    Raises:
        RecipeError: If an operation that has no kernel for 4 bits multiplies one of them.
    """
    found: dict[str, set[str]] = {}
    for each in model.subgraphs:
        graph = Graph(model, each)
        for operator in graph.graph.operators:
            read = [graph.name(tensor) for tensor in operator.inputs if tensor >= 0]
            for weight in weights & set(read[1:]):
                if graph.operation(operator) == _Op.FULLY_CONNECTED:
                    found.setdefault(weight, set()).add(read[0])
                elif graph.operation(operator) != _Op.EMBEDDING_LOOKUP:
                    raise RecipeError(
                        "Only a dense layer (FULLY_CONNECTED) has a kernel for products with 4 "
                        f"bits, and {weight} is multiplied by another operation. Give it other "
                        "numbers by an override with its `scope`"
                    )
    return found


def refine(made: Any, source: Any, moments: Mapping[str, Moments]) -> None:
    """Round the 4-bit weights of a file anew, in place.

    Args:
        made: The quantized `ModelT`.
        source: The float32 `ModelT` it was made of.
        moments: Of the inputs of dense layers, by the name of the weight. Other weights, which are
            tables, are rounded to the nearest.
    """
    floats = {
        tensor.name: array
        for graph in source.subgraphs
        for tensor in graph.tensors
        if (array := flatbuffer.constant_of(source, tensor)) is not None
    }
    for each in made.subgraphs:
        graph = Graph(made, each)
        for index, weight in enumerate(graph.graph.tensors):
            if weight.type != _INT4:
                continue
            matrix, known = floats[weight.name], moments.get(graph.name(index))
            if known is None:
                _store(graph, weight, round_to_nearest(matrix, BLOCK))
                continue
            bias = _own_bias(graph, index)
            rounded = round_for_inputs(matrix, known, BLOCK, biased=bias is not None)
            _store(graph, weight, rounded)
            if bias is not None:
                added = mean_error(matrix, rounded, known)
                graph.set_constant(bias, graph.weight(bias) + added)


def _own_bias(graph: Graph, weight: int) -> int | None:
    """Find the bias of a weight's layer, if neither is another layer's as well."""
    readers = graph.readers(weight)
    if len(readers) != 1 or len(readers[0].inputs) < 3:
        return None
    bias = int(readers[0].inputs[2])
    return bias if bias >= 0 and len(graph.readers(bias)) == 1 else None


def _store(graph: Graph, weight: Any, rounded: Rounded) -> None:
    """Put integers and scales in the place of those that are there."""
    nibbles = rounded.elements.reshape(-1).astype(np.uint8) & 15
    buffers = graph.model.buffers
    buffers[weight.buffer].data = nibbles[0::2] | (nibbles[1::2] << 4)
    scales = graph.graph.tensors[weight.quantization.details.scales]
    stored = rounded.scales.astype(np.float16).reshape(-1)
    buffers[scales.buffer].data = stored.view(np.uint8)
