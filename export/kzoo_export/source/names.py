"""Names of a model's inputs and outputs, and the translation between names and structures."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kzoo_export.spec import Signature

# Dtypes of the model that a file takes or gives as something every runtime has.
_FILE_DTYPES = {
    "bool": "int32",
    "int8": "int32",
    "int16": "int32",
    "int64": "int32",
    "uint16": "int32",
    "uint32": "int32",
    "uint64": "int32",
    "float16": "float32",
    "bfloat16": "float32",
    "float64": "float32",
}


def file_dtype(dtype: str) -> str:
    """Say which dtype a file uses for a tensor of the model.

    Args:
        dtype: The dtype of the model's tensor.

    Returns:
        The dtype of the file's input or output.
    """
    return _FILE_DTYPES.get(dtype, dtype)


def named_inputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Name the symbolic inputs of a built model, in the order of its own input structure.

    Args:
        model: A functional or sequential model that has been built.

    Returns:
        The inputs by name: the keys of a dictionary of inputs, else the names of the `Input`s.

    Raises:
        ValueError: If the model has no symbolic inputs: it was never built, or it is a subclassed
            model without a graph.
    """
    try:
        tensors = list(model.inputs)
    except (AttributeError, TypeError):
        raise ValueError(
            f"`model` must be built with known inputs before it is exported: a functional model, "
            f"or a sequential one with an `Input`. Received: model={model.name!r}, a "
            f"{type(model).__name__} that has no inputs yet"
        ) from None
    # An unnamed tensor gets a new name each time its model is loaded; its layer keeps its own.
    names = [tensor._keras_history.operation.name for tensor in tensors]
    structure = _structure(model, "input")
    return named_leaves(structure, structure, names)


def named_leaves(structure: Any, values: Any, names: Iterable[str]) -> dict[str, Any]:
    """Flatten a structure of tensors to tensors by name.

    Args:
        structure: One tensor, or lists and dictionaries of tensors, one in another.
        values: The same structure of what is wanted by name. Some backends sort its dictionaries.
        names: Names of the leaves in the order of `keras.tree.flatten`, used where the structure
            is not a dictionary.

    Returns:
        The leaves by name. A dictionary keeps its keys and their order; what is inside another
        structure is called by its path, such as `boxes_0`.
    """
    if not isinstance(structure, dict):
        return dict(zip(_unique(names), keras.tree.flatten(values), strict=True))
    leaves = list(_leaves(structure, values))
    return dict(zip(_unique(path for path, _ in leaves), (leaf for _, leaf in leaves), strict=True))


def _leaves(structure: Any, values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk a structure in its own order, and give each leaf of another one with its path."""
    if isinstance(structure, dict):
        items = [(key, inner, values[key]) for key, inner in structure.items()]
    elif isinstance(structure, list | tuple):
        items = [(i, inner, values[i]) for i, inner in enumerate(structure)]
    else:
        yield path, values
        return
    for key, inner, value in items:
        yield from _leaves(inner, value, f"{path}_{key}" if path else str(key))


def named_outputs(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Name what a model returned.

    Args:
        model: The model that was called.
        outputs: What the call returned.

    Returns:
        The outputs by name.
    """
    sequential = isinstance(model, keras.Sequential)
    names = [model.layers[-1].name] if sequential else model.output_names
    structure = _structure(model, "output")
    return named_leaves(structure, outputs, [name.replace("/", "_") for name in names])


def symbolic_outputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Name the symbolic outputs of a built model.

    Args:
        model: A functional or sequential model that has been built.

    Returns:
        The outputs by name, as `named_outputs` names what a call returns.
    """
    return named_outputs(model, _structure(model, "output"))


def pack_inputs(model: keras.Model, tensors: Mapping[str, Any]) -> Any:
    """Arrange named tensors the way a model takes them.

    Args:
        model: The model to be called.
        tensors: One tensor for each input name.

    Returns:
        The structure the model was built with.
    """
    by_input = {id(leaf): tensors[name] for name, leaf in named_inputs(model).items()}
    return keras.tree.map_structure(lambda leaf: by_input[id(leaf)], _structure(model, "input"))


def positional(model: keras.Model, signature: Signature) -> Callable[..., tuple[Any, ...]]:
    """Turn a model into a function of its file's inputs, ready to be traced.

    Args:
        model: The model to trace.
        signature: The signature of the file.

    Returns:
        A function from the tensors of its inputs to the tensors of its outputs, both in order; it
        casts between the dtypes of the file and those of the model.
    """
    dtypes = {name: tensor.dtype for name, tensor in named_inputs(model).items()}

    def call(*tensors: Any) -> tuple[Any, ...]:
        named = {
            entry.name: _cast(tensor, dtypes[entry.name])
            for entry, tensor in zip(signature.inputs, tensors, strict=True)
        }
        outputs = named_outputs(model, model(pack_inputs(model, named), training=False))
        return tuple(_cast(outputs[entry.name], entry.dtype) for entry in signature.outputs)

    return call


def _structure(model: keras.Model, side: str) -> Any:
    """Return the structure of symbolic tensors on one side of a model."""
    if isinstance(model, keras.Sequential):
        return getattr(model, f"{side}s")[0]
    return getattr(model, side)


def _cast(tensor: Any, dtype: str) -> Any:
    """Cast a tensor, adding nothing to the graph where it has that dtype."""
    if keras.backend.standardize_dtype(tensor.dtype) == dtype:
        return tensor
    return keras.ops.cast(tensor, dtype)


def _unique(names: Iterable[str]) -> list[str]:
    """Number repeated names: `a a b` becomes `a a_1 b`, and `a a a_1` becomes `a a_2 a_1`."""
    names = list(names)
    unique: list[str] = []
    for name in names:
        taken = {*unique, *names} if name in unique else ()
        free = (f"{name}_{number}" for number in itertools.count(1))
        unique.append(next(n for n in free if n not in taken) if taken else name)
    return unique


def layer_names(model: keras.Model) -> set[str]:
    """List the names of a model and all layers in it.

    Args:
        model: The model.

    Returns:
        The names.
    """
    return {model.name, *(layer.name for layer in model._flatten_layers())}


def weights_by_path(model: keras.Model) -> dict[str, np.ndarray]:
    """Read the weights of a model.

    Args:
        model: The model.

    Returns:
        Arrays by path, such as `"block_0/attention/query/kernel"`.
    """
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
