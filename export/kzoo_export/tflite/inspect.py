"""Look inside a `.tflite` file without running it."""

import collections
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kzoo.arguments import require_packages
from kzoo_export.artifact.arena import Lifetime, estimate_arena
from kzoo_export.artifact.report import Inspection
from kzoo_export.spec import TensorSpec
from kzoo_export.tflite.flatbuffer import names_of
from kzoo_export.tflite.versions import computed_with, least_runtime, version_for

# Operations that multiply matrices, with the places of (activation, weight) among their inputs.
_MATMULS = {
    **dict.fromkeys(("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D"), (0, 1)),
    "TRANSPOSE_CONV": (2, 1),
}
# Why an operation stays float in a file that computes in integers.
_WHY_FLOAT = {
    "EMBEDDING_LOOKUP": "its kernel reads integers and makes floats",
    "DEQUANTIZE": "what reads it, or takes the output, is float",
    "CAST": "it makes floats of integers, which are quantized next",
}
# Constants below this size are biases, scales and shapes: not worth a note.
_NOTED_BYTES = 4096


def inspect(path: str | Path) -> Inspection:
    """Read what a file is made of.

    Args:
        path: The `.tflite` file.

    Returns:
        Operations, dtypes of the matrix products and the weights, shapes and signature.

    Raises:
        ValueError: If the file is not a TFLite file.
    """
    require_packages(("ai_edge_litert",), "tflite", "reading .tflite files")
    from ai_edge_litert import schema_py_generated as schema

    content = Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"`path` must be a TFLite file. Received: path={str(path)!r}")
    root = schema.Model.GetRootAs(content, 0)
    return _Reader(schema, root).inspection()


class _Reader:
    """The tables of one flatbuffer, with its enumerations as words."""

    def __init__(self, schema: Any, root: Any) -> None:
        self.root = root
        self.dtypes = names_of(schema.TensorType)
        self.operators = names_of(schema.BuiltinOperator)
        self.graphs = [root.Subgraphs(i) for i in range(root.SubgraphsLength())]
        codes = [root.OperatorCodes(i) for i in range(root.OperatorCodesLength())]
        self.codes = [self._operator(code) for code in codes]
        self.custom = sorted(
            code.CustomCode().decode() for code in codes if code.CustomCode() is not None
        )

    def inspection(self) -> Inspection:
        """Gather everything."""
        ops = collections.Counter(name for graph in self.graphs for name, _ in self._ops(graph))
        weight_bytes, notes = self._weights()
        graph = self.graphs[0]
        by_dtype = self._ops_by_dtype()
        if {"int8", "int16"} & set(by_dtype):
            notes += [
                f"{count} {kind} in float32: {_WHY_FLOAT.get(kind, 'no rule makes it integer')}"
                for kind, count in by_dtype.get("float32", {}).items()
            ]
        static = all(self._is_static(tensor) for g in self.graphs for tensor in _tensors(g))
        return Inspection(
            ops=dict(ops.most_common()),
            matmuls=dict(sum((self._matmuls(g) for g in self.graphs), collections.Counter())),
            weight_bytes=weight_bytes,
            custom_ops=tuple(self.custom),
            static=static,
            inputs=self._signature(graph, "Inputs"),
            outputs=self._signature(graph, "Outputs"),
            notes=tuple(notes),
            ops_by_dtype=by_dtype,
            multiply_adds=dict(self._multiply_adds().most_common()) if static else {},
            arena_bytes=estimate_arena(self._lifetimes(graph)) if static else None,
            least_runtime=least_runtime(self._versions()),
            signatures=tuple(
                self.root.SignatureDefs(i).SignatureKey().decode()
                for i in range(self.root.SignatureDefsLength())
            ),
        )

    def _operator(self, code: Any) -> str:
        if code.CustomCode() is not None:
            return str(code.CustomCode().decode())
        # Files of old converters have their code in the deprecated 8-bit field.
        return self.operators[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    def _ops(self, graph: Any) -> Iterator[tuple[str, Any]]:
        for i in range(graph.OperatorsLength()):
            op = graph.Operators(i)
            yield self.codes[op.OpcodeIndex()], op

    def _dtype(self, tensor: Any) -> str:
        return self.dtypes[tensor.Type()].lower()

    def _is_static(self, tensor: Any) -> bool:
        if tensor.ShapeSignatureLength() == 0:
            return True
        return bool((tensor.ShapeSignatureAsNumpy() >= 0).all())

    def _ops_by_dtype(self) -> dict[str, dict[str, int]]:
        """Count operations by the dtype of what they compute first."""
        found: dict[str, collections.Counter[str]] = {}
        for graph in self.graphs:
            for name, op in self._ops(graph):
                if op.OutputsLength():
                    dtype = self._dtype(graph.Tensors(op.Outputs(0)))
                    found.setdefault(dtype, collections.Counter())[name] += 1
        return {dtype: dict(counts.most_common()) for dtype, counts in found.items()}

    def _versions(self) -> Iterator[tuple[str, int]]:
        """List operations with the version that they have, or that their types ask for."""
        for graph in self.graphs:
            for name, op in self._ops(graph):
                if name in self.custom:
                    continue
                index = computed_with(name, _inputs(op), _outputs(op))
                dtype = "" if index is None else self._dtype(graph.Tensors(index))
                declared = self.root.OperatorCodes(op.OpcodeIndex()).Version()
                yield name, max(declared, version_for(name, dtype))

    def _products(self, graph: Any) -> Iterator[tuple[str, str, Any, Any, Any]]:
        """List products: dtypes in words, operation, and both tensors as they are stored."""
        widened = {
            op.Outputs(0): op.Inputs(0) for name, op in self._ops(graph) if name == "DEQUANTIZE"
        }
        for name, op in self._ops(graph):
            if name in _MATMULS:
                first, second = (op.Inputs(place) for place in _MATMULS[name])
                weight = graph.Tensors(widened.get(second, second))
                activation = graph.Tensors(first)
                dtypes = _product(self._dtype(weight), self._dtype(activation))
                yield dtypes, name, op, activation, weight

    def _matmuls(self, graph: Any) -> collections.Counter[str]:
        """Count products by the dtype the weight is stored in and that of the activation."""
        return collections.Counter(dtypes for dtypes, *_ in self._products(graph))

    def _multiply_adds(self) -> collections.Counter[str]:
        """Add up what one call multiplies, by the same words."""
        counts: collections.Counter[str] = collections.Counter()
        for graph in self.graphs:
            for dtypes, name, op, activation, weight in self._products(graph):
                result = graph.Tensors(op.Outputs(0))
                counts[dtypes] += _multiplied(name, *map(_shape, (activation, weight, result)))
        return counts

    def _lifetimes(self, graph: Any) -> list[Lifetime]:
        """List the tensors of a graph that are no constants, and when they are needed."""
        count = graph.OperatorsLength()
        first = dict.fromkeys(graph.InputsAsNumpy().tolist(), 0)
        last = dict.fromkeys(graph.OutputsAsNumpy().tolist(), count)
        for place, (_, op) in enumerate(self._ops(graph)):
            for index in _outputs(op):
                first.setdefault(index, place)
                last.setdefault(index, place)
            for index in _inputs(op):
                last[index] = max(place, last.get(index, place))
        return [
            Lifetime(self._bytes(graph.Tensors(index)), place, last.get(index, place))
            for index, place in first.items()
        ]

    def _bytes(self, tensor: Any) -> int:
        dtype = self._dtype(tensor)
        bits = 8 if dtype == "bool" else int("".join(filter(str.isdigit, dtype)) or 0)
        return math.prod(_shape(tensor)) * bits // 8

    def _weights(self) -> tuple[dict[str, int], list[str]]:
        """Add up the constants by dtype, each buffer once, and note what stayed float32."""
        sizes: collections.Counter[str] = collections.Counter()
        kept, outside, seen = [], 0, set()
        for tensor in (tensor for graph in self.graphs for tensor in _tensors(graph)):
            buffer = self.root.Buffers(tensor.Buffer())
            # Some tools store weights behind the flatbuffer, where only offset and size tell.
            size = buffer.DataLength() or buffer.Size()
            if not size or tensor.Buffer() in seen:
                continue
            seen.add(tensor.Buffer())
            outside += 0 if buffer.DataLength() else size
            sizes[self._dtype(tensor)] += size
            if self._dtype(tensor) == "float32" and size >= _NOTED_BYTES:
                kept.append((size, tensor.Name().decode()))
        notes = _float_notes(kept) if {"int4", "int8", "float16"} & set(sizes) else []
        if outside:
            notes.append(f"{outside} bytes of weights are stored outside the flatbuffer")
        return dict(sizes.most_common()), notes

    def _signature(self, graph: Any, side: str) -> tuple[TensorSpec, ...]:
        """Describe inputs or outputs in the order of the graph, by their signature names."""
        names = {}
        if self.root.SignatureDefsLength():
            signature = self.root.SignatureDefs(0)
            entries = [
                getattr(signature, side)(i) for i in range(getattr(signature, f"{side}Length")())
            ]
            names = {entry.TensorIndex(): entry.Name().decode() for entry in entries}
        described = []
        for index in getattr(graph, f"{side}AsNumpy")():
            tensor = graph.Tensors(index)
            name = names.get(index, tensor.Name().decode())
            described.append(
                TensorSpec(name, _shape(tensor), self._dtype(tensor), _quantization(tensor))
            )
        return tuple(described)


def _shape(tensor: Any) -> tuple[int, ...]:
    """Read a shape, with -1 for an open axis."""
    if tensor.ShapeSignatureLength():
        return tuple(int(size) for size in tensor.ShapeSignatureAsNumpy())
    return () if tensor.ShapeIsNone() else tuple(int(size) for size in tensor.ShapeAsNumpy())


def _quantization(tensor: Any) -> tuple[float, int] | None:
    """Read the scale and the zero point of a tensor that has one of each."""
    found = tensor.Quantization()
    if found is None or found.ScaleLength() != 1:
        return None
    return float(found.Scale(0)), int(found.ZeroPoint(0)) if found.ZeroPointLength() else 0


def _multiplied(
    name: str, activation: tuple[int, ...], weight: tuple[int, ...], result: tuple[int, ...]
) -> int:
    """Count the multiply-adds of a product by its shapes."""
    if name == "TRANSPOSE_CONV":
        return math.prod(activation[:-1]) * math.prod(weight)
    if name == "DEPTHWISE_CONV_2D":
        return math.prod(result) * math.prod(weight[1:-1])
    if name == "BATCH_MATMUL":
        # The axis that is summed over: (.., M, K) times (.., K, N) is (.., M, N), either turned.
        return math.isqrt(
            math.prod(activation[-2:]) * math.prod(weight[-2:]) // math.prod(result[-2:])
        ) * math.prod(result)
    return math.prod(result) * math.prod(weight[1:])


def _product(weight: str, activation: str) -> str:
    return weight if weight == activation else f"{weight} x {activation}"


def _float_notes(kept: list[tuple[int, str]]) -> list[str]:
    """Say which weights stayed float32, the largest by name."""
    if not kept:
        return []
    size, name = max(kept)
    total = sum(entry[0] for entry in kept)
    return [f"{total} bytes in {len(kept)} weights stayed float32, the largest {name} ({size})"]


def _inputs(op: Any) -> list[int]:
    return [op.Inputs(i) for i in range(op.InputsLength())]


def _outputs(op: Any) -> list[int]:
    return [op.Outputs(i) for i in range(op.OutputsLength())]


def _tensors(graph: Any) -> Iterator[Any]:
    return (graph.Tensors(i) for i in range(graph.TensorsLength()))
