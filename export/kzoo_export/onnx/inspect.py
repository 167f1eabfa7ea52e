"""Look inside an `.onnx` file without running it."""

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kzoo.arguments import require_packages
from kzoo_export.artifact.report import Inspection
from kzoo_export.spec import TensorSpec

# Products of two matrices, with the places of (activation, weight) among the inputs.
_PRODUCTS = {
    "MatMul": (0, 1),
    "Gemm": (0, 1),
    "Einsum": (0, 1),
    "Conv": (0, 1),
    "ConvTranspose": (0, 1),
    "MatMulInteger": (0, 1),
    "ConvInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "FusedMatMul": (0, 1),
    "MatMulNBits": (0, 1),
}
# Attention holds two products of activations.
_ATTENTIONS = ("Attention", "MultiHeadAttention", "GroupQueryAttention")
# What a value may pass through between where it is stored and where it is multiplied.
_CASTS = ("Cast", "DequantizeLinear", "Reshape", "Transpose", "Identity")
_STANDARD = ("", "ai.onnx")
# Constants below this size are biases, scales and shapes: not worth a note.
_NOTED_BYTES = 4096


def inspect(path: str | Path) -> Inspection:
    """Read what a file is made of.

    Args:
        path: The `.onnx` file.

    Returns:
        Operations, dtypes of the matrix products and the weights, shapes and signature.

    Raises:
        ValueError: If the file is not an ONNX file.
    """
    require_packages(("onnx", "onnx_ir"), "onnx", "reading .onnx files")
    import onnx_ir as ir

    try:
        model = ir.load(path)
    except Exception as error:  # Protocol buffers' own class, or whatever the fields lead to.
        raise ValueError(
            f"`path` must be an ONNX file. Received: path={str(path)!r} ({error})"
        ) from error
    nodes = list(model.graph.all_nodes())
    weights = _weights(model)
    custom = {name for name in map(_full_name, nodes) if "." in name}
    return Inspection(
        ops=dict(collections.Counter(map(_full_name, nodes)).most_common()),
        matmuls=dict(collections.Counter(_matmuls(nodes)).most_common()),
        weight_bytes=_bytes_by_dtype(weights),
        custom_ops=tuple(sorted(custom)),
        static=all(_is_static(value) for value in _values(model, nodes)),
        inputs=tuple(_describe(value) for value in model.graph.inputs),
        outputs=tuple(_describe(value) for value in model.graph.outputs),
        notes=tuple(_notes(weights)),
    )


def _full_name(node: Any) -> str:
    """Name an operation; a domain in front is one outside the standard."""
    return node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"


def _weights(model: Any) -> list[Any]:
    """List every constant tensor, stored in the graph or in a node."""
    tensors = [value.const_value for value in model.graph.initializers.values()]
    for node in model.graph.all_nodes():
        if node.op_type == "Constant" and "value" in node.attributes:
            tensors.append(node.attributes["value"].as_tensor())
    return [tensor for tensor in tensors if tensor is not None]


def _bytes_by_dtype(weights: list[Any]) -> dict[str, int]:
    sizes: collections.Counter[str] = collections.Counter()
    for tensor in weights:
        sizes[_dtype_name(tensor.dtype)] += tensor.nbytes
    return dict(sizes.most_common())


def _matmuls(nodes: list[Any]) -> Iterator[str]:
    """Name each product by the dtype its weight is stored in and that of the activation."""
    for node in nodes:
        if node.op_type in _ATTENTIONS:
            activation = _stored_dtype(node.inputs[0])
            yield from (activation, activation)
        elif node.op_type in _PRODUCTS:
            first, second = (_stored_dtype(node.inputs[at]) for at in _PRODUCTS[node.op_type])
            yield first if first == second else f"{second} x {first}"


def _stored_dtype(value: Any) -> str:
    """Follow a constant back to the dtype it is stored in; an activation has its own."""
    source = value
    while source.producer() is not None and _keeps_elements(source.producer()):
        source = source.producer().inputs[0]
    if source.producer() is None and not source.is_graph_input():
        return _dtype_name(source.dtype)
    return _dtype_name(value.dtype)


def _keeps_elements(node: Any) -> bool:
    """Say whether a node widens, turns or scales what it reads."""
    is_scale = node.op_type == "Mul" and node.inputs[1].const_value is not None
    return is_scale or node.op_type in _CASTS


def _dtype_name(dtype: Any) -> str:
    """Spell an element type as NumPy does."""
    return "float32" if dtype is None else str(dtype.numpy())


def _values(model: Any, nodes: list[Any]) -> Iterator[Any]:
    """List the values whose shapes are known; the rest follow from them in a static graph."""
    yield from model.graph.inputs
    yield from model.graph.outputs
    for node in nodes:
        yield from (value for value in node.outputs if value.shape is not None)


def _is_static(value: Any) -> bool:
    return bool(value.shape is not None and value.shape.is_static())


def _describe(value: Any) -> TensorSpec:
    sizes = value.shape if value.shape is not None else ()
    shape = tuple(size if isinstance(size, int) else -1 for size in sizes)
    return TensorSpec(value.name, shape, _dtype_name(value.dtype))


def _notes(weights: list[Any]) -> Iterator[str]:
    """Say what stayed float32 in a file whose weights are smaller."""
    dtypes = {_dtype_name(tensor.dtype) for tensor in weights if tensor.nbytes >= _NOTED_BYTES}
    kept = [
        tensor
        for tensor in weights
        if _dtype_name(tensor.dtype) == "float32" and tensor.nbytes >= _NOTED_BYTES
    ]
    if kept and dtypes & {"int8", "uint8", "float16"}:
        largest = max(kept, key=lambda tensor: tensor.nbytes)
        yield (
            f"{sum(tensor.nbytes for tensor in kept)} bytes in {len(kept)} weights stayed float32, "
            f"the largest {largest.name} ({largest.nbytes})"
        )
