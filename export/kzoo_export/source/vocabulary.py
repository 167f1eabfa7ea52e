"""How many ids the inputs of a model may hold."""

from collections.abc import Mapping
from typing import Any

import keras

from kzoo_export.source.names import named_inputs

# What layers call the number of rows of the table their first input looks up.
_TABLE_SIZES = ("vocab_size", "vocabulary_size", "input_dim")


def vocabularies(model: keras.Model) -> dict[str, int]:
    """Find how many ids each input may hold: the size of the table it looks up.

    Args:
        model: A built model.

    Returns:
        The size by input name, for the inputs that go straight into an embedding, in nested
        models too.
    """
    sizes: dict[str, int] = {}
    wanted = {id(tensor): name for name, tensor in named_inputs(model).items()}
    for operation in getattr(model, "operations", None) or model.layers:
        for tensors in _calls(operation):
            for name, size in _looked_up(operation, tensors, wanted):
                sizes[name] = min(size, sizes.get(name, size))
    return sizes


def _looked_up(
    operation: Any, tensors: list[Any], wanted: Mapping[int, str]
) -> list[tuple[str, int]]:
    """Find the inputs of a model that one call of a layer looks up, with the size of the table."""
    if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
        inner = vocabularies(operation)
        names = named_inputs(operation)
        by_order = [name for tensor in operation.inputs for name in names if names[name] is tensor]
        return [
            (wanted[id(tensor)], inner[name])
            for name, tensor in zip(by_order, tensors, strict=False)
            if name in inner and id(tensor) in wanted
        ]
    size = next((getattr(operation, n) for n in _TABLE_SIZES if hasattr(operation, n)), None)
    if not isinstance(size, int) or not tensors or id(tensors[0]) not in wanted:
        return []
    return [(wanted[id(tensors[0])], size)]


def _calls(operation: Any) -> list[list[Any]]:
    """List the tensors of every call of a layer."""
    return [list(node.input_tensors) for node in getattr(operation, "_inbound_nodes", ())]
