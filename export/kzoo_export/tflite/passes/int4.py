"""4-bit weights with rounding of our own, in the place of the quantizer's."""

import copy
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.errors import RecipeError
from kzoo_export.gptq import Choice, Moments, Rounded, round_layer, round_to_nearest
from kzoo_export.recipe import BLOCK
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


def round_weights(model: Any, names: Set[str], moments: Mapping[str, Moments]) -> dict[str, Choice]:
    """Round weights to 4 bits.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        names: The weights.
        moments: Of the inputs of dense layers, by the name of the weight. Other weights, which are
            tables, are rounded to the nearest.

    Returns:
        What is stored, by the name of the weight.
    """
    found = {}
    for each in model.subgraphs:
        graph = Graph(model, each)
        for index in range(len(each.tensors)):
            name = graph.name(index)
            if name not in names:
                continue
            matrix, known = graph.weight(index), moments.get(name)
            if known is None:
                found[name] = Choice(round_to_nearest(matrix, BLOCK))
                continue
            bias = _own_bias(graph, index)
            found[name] = round_layer(
                *(matrix, known, BLOCK),
                None if bias is None else (graph.name(bias), graph.weight(bias)),
            )
    return found


def refine(made: Any, choices: Mapping[str, Choice]) -> None:
    """Store weights that were rounded in the place of those that the quantizer rounded.

    Args:
        made: The quantized `ModelT`, changed in place.
        choices: What is stored, by the name of the weight.
    """
    for each in made.subgraphs:
        graph = Graph(made, each)
        indices = {graph.name(index): index for index in range(len(each.tensors))}
        for name, choice in choices.items():
            if name not in indices or each.tensors[indices[name]].type != _INT4:
                continue
            _store(graph, each.tensors[indices[name]], choice.rounded)
            if choice.bias is not None:
                bias, shifted = choice.bias
                graph.set_constant(indices[bias], shifted)


def with_rounded(model: Any, name: str, choice: Choice) -> Any:
    """Give a copy of a float model the numbers that a rounded weight stands for.

    Args:
        model: The float32 `ModelT`.
        name: The weight.
        choice: How it is rounded.

    Returns:
        The copy, which shares all other numbers.
    """
    changed = copy.copy(model)
    changed.buffers = [copy.copy(buffer) for buffer in model.buffers]
    changed.subgraphs = copy.deepcopy(model.subgraphs)
    numbers = choice.numbers(name)
    for each in changed.subgraphs:
        graph = Graph(changed, each)
        for index in range(len(each.tensors)):
            if graph.name(index) in numbers:
                graph.set_constant(index, numbers[graph.name(index)])
    return changed


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
