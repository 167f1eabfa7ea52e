"""What the inputs and outputs of a model are: their kinds, and how many ids an input may hold.

Kinds are declared by the user, by the model's class or by its layers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from kzoo_export.source.names import named_inputs, symbolic_outputs
from kzoo_export.spec import check_kinds

# Layers that change neither what an output means nor which one is largest.
_TRANSPARENT = ("Dropout", "Identity", "Cast")
# What layers call a padding mask (B, T) that they are given.
_MASK_ARGUMENTS = ("mask", "padding_mask", "attention_mask")
# What layers call the number of rows of the table their first input looks up.
_TABLE_SIZES = ("vocab_size", "vocabulary_size", "input_dim")


@dataclasses.dataclass(frozen=True)
class Kinds:
    """Kinds of inputs and outputs by name, where they are known."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def find_kinds(model: keras.Model, given: Mapping[str, str] | None = None) -> Kinds:
    """Find the kinds of a model's inputs and outputs.

    A layer or model declares its output by an attribute `output_kind`, or `output_kinds` by name.
    A padding mask is known by the layers that take it as their mask.

    Args:
        model: A built model.
        given: Kinds by name of an input or output; they come before all others.

    Returns:
        The kinds that are known.

    Raises:
        ValueError: If a name or kind of `given` does not exist.
    """
    inputs, outputs = named_inputs(model), symbolic_outputs(model)
    given = given or {}
    check_kinds(given, inputs, outputs)
    found = _kinds_of(model, outputs)
    masks = {name: "mask" for name, tensor in inputs.items() if _is_mask(model, tensor)}
    return Kinds(
        inputs={**masks, **{name: kind for name, kind in given.items() if name in inputs}},
        outputs={
            **{name: kind for name, kind in found.items() if kind},
            **{name: kind for name, kind in given.items() if name in outputs},
        },
    )


def _kinds_of(model: keras.Model, outputs: Mapping[str, Any]) -> dict[str, str | None]:
    """Ask the model for the kinds of its outputs and, where it says nothing, its layers."""
    declared = getattr(model, "output_kinds", {})
    return {name: declared.get(name) or _kind_of(tensor) for name, tensor in outputs.items()}


def _kind_of(tensor: Any) -> str | None:
    """Follow an output back to the layer that says what it is."""
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None
    operation, node_index, tensor_index = history
    if type(operation).__name__ in _TRANSPARENT:
        return _kind_of(operation._inbound_nodes[node_index].input_tensors[0])
    declared = getattr(operation, "output_kind", None)
    if declared is not None:
        return str(declared)
    if isinstance(operation, keras.Model):
        return _kind_in_model(operation, tensor_index)
    return None


def _kind_in_model(model: keras.Model, index: int) -> str | None:
    """Find the kind of one output of a model inside another one."""
    if not getattr(model, "outputs", None):
        return None
    outputs = symbolic_outputs(model)
    kinds = _kinds_of(model, outputs)
    return next(kinds[name] for name, each in outputs.items() if each is model.outputs[index])


def _is_mask(model: keras.Model, tensor: Any) -> bool:
    """Tell whether some layer takes an input (B, T) as its padding mask."""
    if len(tensor.shape) != 2:
        return False
    for operation in getattr(model, "operations", ()):
        for node in operation._inbound_nodes:
            given = {name: node.arguments.kwargs.get(name) for name in _MASK_ARGUMENTS}
            if any(value is tensor for value in given.values()):
                return True
            if _is_mask_inside(operation, node, tensor):
                return True
    return False


def _is_mask_inside(model: Any, node: Any, tensor: Any) -> bool:
    """Tell whether a model inside another one takes an input as a padding mask."""
    inner = (isinstance(model, keras.Model) and getattr(model, "inputs", None)) or ()
    pairs = zip(inner, node.input_tensors, strict=False)
    return any(outer is tensor and _is_mask(model, own) for own, outer in pairs)


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
