"""Names of a model's inputs and outputs, and the translation between names and structures."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_positive_integers
from kzoo.models.backbone import find_tokenizer
from kzoo_export.calibration import Reader
from kzoo_export.spec import Spec, TensorSpec

# What layers call the number of rows of the table their first input looks up.
_TABLE_SIZES = ("vocab_size", "vocabulary_size", "input_dim")

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
    return named_leaves(_structure(model, "input"), names)


def named_leaves(structure: Any, names: Iterable[str]) -> dict[str, Any]:
    """Flatten a structure of tensors to tensors by name.

    Args:
        structure: One tensor, a list of tensors, or a dictionary of tensors.
        names: Names of the leaves in the order of `keras.tree.flatten`, used where the structure
            is not a dictionary.

    Returns:
        The leaves by name; a dictionary keeps its keys and their order.
    """
    leaves = keras.tree.flatten(structure)
    if isinstance(structure, dict) and len(leaves) == len(structure):
        return dict(structure)
    return dict(zip(_unique(names), leaves, strict=True))


def named_outputs(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Name what a model returned.

    Args:
        model: The model that was called.
        outputs: What the call returned.

    Returns:
        The outputs by name.
    """
    structure = _structure(model, "output")
    if isinstance(structure, dict) and set(structure) == set(outputs):
        # Some backends sort the dictionary a call returns.
        return {name: outputs[name] for name in structure}
    sequential = isinstance(model, keras.Sequential)
    names = [model.layers[-1].name] if sequential else model.output_names
    return named_leaves(outputs, [name.replace("/", "_") for name in names])


def pack_inputs(model: keras.Model, tensors: Mapping[str, Any]) -> Any:
    """Arrange named tensors the way a model takes them.

    Args:
        model: The model to be called.
        tensors: One tensor for each input name.

    Returns:
        The structure the model was built with.
    """
    structure = _structure(model, "input")
    if isinstance(structure, dict):
        return {name: tensors[name] for name in structure}
    leaves = [tensors[name] for name in named_inputs(model)]
    return keras.tree.pack_sequence_as(structure, leaves)


def positional(model: keras.Model, spec: Spec) -> Callable[..., tuple[Any, ...]]:
    """Turn a model into a function of its file's inputs, ready to be traced.

    Args:
        model: The model to trace.
        spec: The signature of the file.

    Returns:
        A function from the tensors of `spec.inputs`, in order, to the tensors of `spec.outputs`,
        in order; it casts between the dtypes of the file and those of the model.
    """
    dtypes = {name: tensor.dtype for name, tensor in named_inputs(model).items()}

    def call(*tensors: Any) -> tuple[Any, ...]:
        named = {
            entry.name: _cast(tensor, dtypes[entry.name])
            for entry, tensor in zip(spec.inputs, tensors, strict=True)
        }
        outputs = named_outputs(model, model(pack_inputs(model, named), training=False))
        return tuple(_cast(outputs[entry.name], entry.dtype) for entry in spec.outputs)

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


def input_specs(model: keras.Model, length: int | None, batch_size: int) -> tuple[TensorSpec, ...]:
    """Make the inputs of a model static.

    Args:
        model: A built model.
        length: Size of the open axes other than the batch.
        batch_size: Size of the batch axis.

    Returns:
        The inputs of the file, in the model's own order.

    Raises:
        ValueError: If an axis stays open, or a size is not possible.
    """
    check_positive_integers(batch_size=batch_size, **({} if length is None else {"length": length}))
    specs = []
    for name, tensor in named_inputs(model).items():
        first, *rest = tensor.shape
        if first not in (None, batch_size):
            raise ValueError(
                f"`batch_size` must be {first}, which the model fixes. "
                f"Received: batch_size={batch_size}"
            )
        if None in rest and length is None:
            raise ValueError(
                f"`length` must be given: the input {name!r} has the open shape {tensor.shape}. "
                "Received: length=None"
            )
        shape = (batch_size, *(length if size is None else size for size in rest))
        specs.append(
            TensorSpec(name, tuple(int(size or 0) for size in shape), file_dtype(tensor.dtype))
        )
    return tuple(specs)


def output_specs(reference: Mapping[str, np.ndarray], batch_size: int) -> tuple[TensorSpec, ...]:
    """Describe the outputs of a file after the outputs of its model.

    Args:
        reference: The model's outputs.
        batch_size: Rows of the file's outputs.

    Returns:
        The outputs of the file, in the model's own order.
    """
    return tuple(
        TensorSpec(name, (batch_size, *array.shape[1:]), file_dtype(array.dtype.name))
        for name, array in reference.items()
    )


def make_reader(model: keras.Model, inputs: tuple[TensorSpec, ...], seed: int) -> Reader:
    """Prepare to read samples for a model.

    Args:
        model: The model.
        inputs: The inputs of its file.
        seed: Seed of random samples.

    Returns:
        The reader, which knows the model's vocabulary and tokenizer.
    """
    return Reader(inputs, vocabularies(model), find_tokenizer(model), seed)


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
    if isinstance(operation, keras.Model):
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
