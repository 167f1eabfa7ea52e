"""Look inside an `.onnx` file without running it."""

import collections
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kzoo.arguments import require_packages
from kzoo_export.artifact.arena import Lifetime, estimate_arena
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
Sizes = tuple[int, ...]
# The dtype that a constant tensor is stored in, and the tensor.
Weight = tuple[str, Any]
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
    lifetimes = _lifetimes(model, nodes)
    custom = {name for name in map(_full_name, nodes) if "." in name}
    return Inspection(
        ops=dict(collections.Counter(map(_full_name, nodes)).most_common()),
        matmuls=dict(collections.Counter(words for words, _ in _products(nodes)).most_common()),
        weight_bytes=_bytes_by_dtype(weights),
        custom_ops=tuple(sorted(custom)),
        static=all(_is_static(value) for value in _values(model, nodes)),
        inputs=tuple(_describe(value) for value in model.graph.inputs),
        outputs=tuple(_describe(value) for value in model.graph.outputs),
        notes=tuple(_notes(weights)),
        ops_by_dtype=_ops_by_dtype(nodes),
        multiply_adds=dict(_multiply_adds(nodes).most_common()),
        arena_bytes=estimate_arena(lifetimes) if lifetimes is not None else None,
        least_runtime=_least_runtime(model),
    )


def _full_name(node: Any) -> str:
    """Name an operation; a domain in front is one outside the standard."""
    return node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"


def _weights(model: Any) -> list[Weight]:
    """List every constant tensor, stored in the graph or in a node, after its dtype."""
    values = model.graph.initializers.values()
    found = [(_constant_dtype(value), value.const_value) for value in values]
    for node in model.graph.all_nodes():
        if node.op_type == "Constant" and "value" in node.attributes:
            tensor = node.attributes["value"].as_tensor()
            found.append((_dtype_name(tensor.dtype), tensor))
    return [(dtype, tensor) for dtype, tensor in found if tensor is not None]


def _constant_dtype(value: Any) -> str:
    """Tell the dtype of a constant; the runtime's own product packs integers into bytes."""
    for node, place in value.uses():
        if node.op_type == "MatMulNBits" and place == 1:
            return f"int{node.attributes['bits'].value}"
    return _dtype_name(value.dtype)


def _bytes_by_dtype(weights: list[Weight]) -> dict[str, int]:
    sizes: collections.Counter[str] = collections.Counter()
    for dtype, tensor in weights:
        sizes[dtype] += tensor.nbytes
    return dict(sizes.most_common())


def _products(nodes: list[Any]) -> Iterator[tuple[str, Any]]:
    """Name each product by the dtype its weight is stored in and that of the activation."""
    for node in nodes:
        if node.op_type in _ATTENTIONS:
            activation = _stored_dtype(node.inputs[0])
            yield from ((activation, node), (activation, node))
        elif node.op_type in _PRODUCTS:
            first, second = (_stored_dtype(node.inputs[at]) for at in _PRODUCTS[node.op_type])
            yield (first if first == second else f"{second} x {first}"), node


def _ops_by_dtype(nodes: list[Any]) -> dict[str, dict[str, int]]:
    """Count operations by the dtype of what they compute first."""
    found: dict[str, collections.Counter[str]] = {}
    for node in nodes:
        counts = found.setdefault(_dtype_name(node.outputs[0].dtype), collections.Counter())
        counts[_full_name(node)] += 1
    return {dtype: dict(counts.most_common()) for dtype, counts in found.items()}


def _multiply_adds(nodes: list[Any]) -> collections.Counter[str]:
    """Add up what one call multiplies, by the words of products; nothing where a shape is open."""
    counts: collections.Counter[str] = collections.Counter()
    for words, node in _products(nodes):
        values = [node.inputs[at] for at in _PRODUCTS.get(node.op_type, (0, 1))]
        if node.op_type not in _ATTENTIONS:
            values.append(node.outputs[0])
        if node.op_type == "Einsum" or not all(map(_is_static, values)):
            return collections.Counter()
        counts[words] += _multiplied(node, *(tuple(value.shape) for value in values))
    return counts


def _multiplied(node: Any, first: Sizes, second: Sizes, result: Sizes = ()) -> int:
    """Count the multiply-adds of a product by its shapes."""
    if node.op_type in _ATTENTIONS:
        # One of its two products: queries (.., T, D) times keys (.., S, D).
        return math.prod(first) * second[-2]
    results = math.prod(result)
    if node.op_type in ("Conv", "ConvInteger"):
        return results * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    if node.op_type == "MatMulNBits":
        return results * int(node.attributes["K"].value)
    turned = node.op_type == "Gemm" and node.attributes.get_int("transA", 0)
    return results * first[0 if turned else -1]


def _lifetimes(model: Any, nodes: list[Any]) -> list[Lifetime] | None:
    """List the values that are no constants, and when they are needed; `None` if one is open."""
    first = dict.fromkeys(model.graph.inputs, 0)
    last = dict.fromkeys(model.graph.outputs, len(nodes))
    for place, node in enumerate(nodes):
        for value in node.outputs:
            first.setdefault(value, place)
        for value in node.inputs:
            last[value] = max(place, last.get(value, place))
    if not all(map(_is_static, first)):
        return None
    return [
        Lifetime(_bytes(value), place, max(place, last.get(value, place)))
        for value, place in first.items()
    ]


def _bytes(value: Any) -> int:
    size = 4.0 if value.dtype is None else value.dtype.itemsize
    return int(math.prod(value.shape) * size)


def _least_runtime(model: Any) -> str:
    """Say which operator sets a runtime must have."""
    sets = (
        f"{domain or 'opset'} {version}" for domain, version in sorted(model.opset_imports.items())
    )
    return f"ONNX {', '.join(sets)}"


def _stored_dtype(value: Any) -> str:
    """Follow a constant back to the dtype it is stored in; an activation has its own."""
    source = value
    while source.producer() is not None and _keeps_elements(source.producer()):
        source = source.producer().inputs[0]
    if source.producer() is None and not source.is_graph_input():
        return _constant_dtype(source)
    rounded = source.producer() is not None and source.producer().op_type == "QuantizeLinear"
    return _dtype_name(source.dtype if rounded else value.dtype)


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


def _notes(weights: list[Weight]) -> Iterator[str]:
    """Say what stayed float32 in a file whose weights are smaller."""
    large = [(dtype, tensor) for dtype, tensor in weights if tensor.nbytes >= _NOTED_BYTES]
    dtypes = {dtype for dtype, _ in large}
    kept = [tensor for dtype, tensor in large if dtype == "float32"]
    if kept and dtypes & {"int4", "int8", "uint8", "float16"}:
        largest = max(kept, key=lambda tensor: tensor.nbytes)
        yield (
            f"{sum(tensor.nbytes for tensor in kept)} bytes in {len(kept)} weights stayed float32, "
            f"the largest {largest.name} ({largest.nbytes})"
        )
