"""Store weights of a TFLite file as int8, one scale a channel or a table row, or tables as int4.

Where activations are quantized at run time, products run in integers; else the weights are widened
in front of them. Lookups read rows of 8 bits, each with its own scale, or of 4 bits, with a scale a
block. Where activations have scales of their own, found on samples, all operations run in integers.
"""

import contextlib
import copy
import importlib
import importlib.util
import io
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo.arguments import require_packages
from kzoo_export.recipe import (
    BLOCK,
    DYNAMIC_INT4,
    DYNAMIC_INT8,
    INT4,
    INT8,
    STATIC,
    STATIC_INT8,
    STATIC_INT16,
    Numbers,
)
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.calibrate import KEEPS_ALL
from kzoo_export.tflite.passes.weights import operation_with
from kzoo_export.tflite.versions import computed_with, version_for

# The quantizer is being renamed.
_PACKAGES = ("ai_edge_quantizer", "litert_quantizer")
_Operation = schema.BuiltinOperator
_Type = schema.TensorType
_BATCH_MATMUL = _Operation.BATCH_MATMUL
_OPERATION_NAMES = flatbuffer.names_of(_Operation)
_TYPE_NAMES = flatbuffer.names_of(_Type)
# The versions of operations that take float activations and int8 weights with a scale a channel.
_HYBRID_VERSIONS = {
    _Operation.FULLY_CONNECTED: 12,
    _Operation.CONV_2D: 5,
    _Operation.DEPTHWISE_CONV_2D: 6,
    _Operation.BATCH_MATMUL: 4,
    _Operation.EMBEDDING_LOOKUP: 4,
}
# The quantizer's words for how weights are stored and how products with them are computed.
_CHANNELS = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
_BLOCKS = {**_CHANNELS, "num_bits": 4, "granularity": f"BLOCKWISE_{BLOCK}"}
_WIDENED = {"compute_precision": "FLOAT", "explicit_dequantize": True}
_IN_KERNEL = {"compute_precision": "INTEGER", "explicit_dequantize": False}
_ACTIVATIONS_8 = {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE", "dtype": "INT"}
_ACTIVATIONS_16 = {**_ACTIVATIONS_8, "num_bits": 16, "symmetric": True}
_CONFIGS: dict[Numbers, dict[str, Any]] = {
    INT8: {"weight_tensor_config": _CHANNELS, **_WIDENED},
    DYNAMIC_INT8: {"weight_tensor_config": _CHANNELS, **_IN_KERNEL},
    INT4: {"weight_tensor_config": _BLOCKS, **_IN_KERNEL},
    DYNAMIC_INT4: {"weight_tensor_config": _BLOCKS, **_IN_KERNEL},
    **{
        numbers: {
            "activation_tensor_config": activations,
            "weight_tensor_config": _CHANNELS,
            **_IN_KERNEL,
        }
        for numbers, activations in (
            (STATIC_INT8, _ACTIVATIONS_8),
            (STATIC_INT16, _ACTIVATIONS_16),
        )
    },
}

# Products with a constant that is no dense weight have kernels for one scale: more make zeros.
_ONE_SCALE = {"weight_tensor_config": {**_CHANNELS, "granularity": "TENSORWISE"}}
# How far the logarithm of a scale may be from a whole number for the kernel to shift by it.
_NEXT_TO = 1e-3
# What a file takes and gives stays float.
_UNTOUCHED = {"regex": ".*", "algorithm_key": "no_quantize", "op_config": {}}
Ranges = Mapping[str, tuple[float, float]]
# The first result of an operation, by which it is told, and how it is computed.
Operations = Mapping[str, Numbers]


def operations_with(model: Any, chosen: Mapping[Numbers, Set[str]]) -> dict[str, Numbers]:
    """Find the operations that multiply or look up weights.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        chosen: The names of the weights by the numbers they get; those that are no integers are
            passed over.

    Returns:
        The numbers of each operation, by the name of its first result.
    """
    by_weight = {name: numbers for numbers in _CONFIGS for name in chosen.get(numbers, ())}
    found = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operation_with(model, operator) == "other":
                continue
            weight = graph.tensors[operator.inputs[1]].name.decode()
            if weight in by_weight:
                found[graph.tensors[operator.outputs[0]].name.decode()] = by_weight[weight]
    return found


def quantize(
    model: Any, operations: Operations, ranges: Ranges | None = None, float_io: bool = True
) -> Any:
    """Quantize operations and the weights they read.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        operations: The numbers of each operation, by the name of its first result.
        ranges: The least and the largest number of each computed tensor, for operations whose
            activations have scales of their own.
        float_io: Whether inputs and outputs stay float; else they are what reads and computes them.

    Returns:
        The quantized `ModelT`.
    """
    named: dict[Numbers, set[str]] = {}
    for name, numbers in operations.items():
        named.setdefault(numbers, set()).add(name)
    if not named:
        return model
    entries = []
    for each, names in named.items():
        scopes = _scopes(model, names)
        entries.append(_entry(scopes, _CONFIGS[each]))
        if each in STATIC:
            entries.append(_entry(scopes, _CONFIGS[each] | _ONE_SCALE, "BATCH_MATMUL"))
    entries += [{**_UNTOUCHED, "operation": side} for side in ("INPUT", "OUTPUT") if float_io]
    with _quiet():
        quantizer = _package().Quantizer(flatbuffer.write(model), entries)
        result = quantizer.quantize(
            _statistics(model, ranges) if ranges else None,
            enable_progress_bar=False,
            enable_progress_report=False,
        )
    model = flatbuffer.read(bytes(result.quantized_model))
    for graph in model.subgraphs:
        for operator in graph.operators:
            _widen_left(model, graph, operator)
            _declare_hybrid(model, graph, operator)
            _declare_integers(model, graph, operator)
            _keep_open_axes(model, graph, operator)
    return model


def _package() -> Any:
    """Import the quantizer under the name it is installed by."""
    found = [name for name in _PACKAGES if importlib.util.find_spec(name)]
    if not found:
        require_packages(_PACKAGES[:1], "tflite", "quantizing .tflite files to integers")
    return importlib.import_module(f"{found[0]}.quantizer")


def _scopes(model: Any, results: Set[str]) -> list[str]:
    """Name operations as the quantizer does: by all they compute."""
    computed = (
        [graph.tensors[output].name.decode() for output in operator.outputs]
        for graph in model.subgraphs
        for operator in graph.operators
    )
    chosen = [names for names in computed if names and names[0] in results]
    return ["".join(f"{name};" for name in names) for names in chosen]


def _entry(scopes: Collection[str], config: dict[str, Any], operation: str = "*") -> dict[str, Any]:
    """Write an entry of the quantizer's recipe: operations, and how they are computed.

    Nothing is left to its defaults: it writes files that cannot be loaded where the constant of a
    BATCH_MATMUL is on the left.
    """
    return {
        "regex": f"^(?:{'|'.join(map(re.escape, scopes))})$",
        "operation": operation,
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": config,
    }


def _statistics(model: Any, ranges: Ranges) -> dict[str, dict[str, np.ndarray]]:
    """Write ranges as the quantizer reads them: arrays with the rank of the tensor."""
    return {
        name: {
            side: np.full((1,) * len(flatbuffer.shape_of(tensor)), value, np.float32)
            for side, value in zip(("min", "max"), ranges[name], strict=True)
        }
        for graph in model.subgraphs
        for tensor in graph.tensors
        if (name := tensor.name.decode()) in ranges
    }


def _declare_hybrid(model: Any, graph: Any, operator: Any) -> None:
    """Declare an operation that multiplies floats by int8 as TensorFlow's converter does.

    The quantizer keeps the version of the float operation, which old runtimes would compute with
    the scale of one channel. It also leaves off the flag by which kernels scale activations from
    their least to their largest number, as if they were symmetric around zero.
    """
    types = [graph.tensors[index].type for index in operator.inputs[:2]]
    operation = flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex])
    reads_floats = operation == _Operation.EMBEDDING_LOOKUP or types[:1] == [_Type.FLOAT32]
    if types[1:] != [_Type.INT8] or not reads_floats:
        return
    if operation in _HYBRID_VERSIONS:
        version = _HYBRID_VERSIONS[operation]
        operator.opcodeIndex = flatbuffer.operator_code(model, operation, version)
    if hasattr(operator.builtinOptions, "asymmetricQuantizeInputs"):
        operator.builtinOptions.asymmetricQuantizeInputs = True


def _widen_left(model: Any, graph: Any, operator: Any) -> None:
    """Store the constant on the left of a product with int16 as int16, the same numbers.

    The kernel takes int8 on the right alone.
    """
    if flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex]) != _BATCH_MATMUL:
        return
    left, right = (graph.tensors[index] for index in operator.inputs)
    if (left.type, right.type) == (_Type.INT8, _Type.INT16):
        elements = np.asarray(model.buffers[left.buffer].data, np.uint8).view(np.int8)
        array = elements.astype(np.int16).reshape(flatbuffer.shape_of(left)) * np.int16(256)
        widened = flatbuffer.add_constant(model, graph, f"{left.name.decode()}_int16", array)
        graph.tensors[widened].quantization = quantization = copy.deepcopy(left.quantization)
        quantization.scale = np.asarray(quantization.scale, np.float32) / 256
        operator.inputs = [widened, operator.inputs[1]]


def _keep_open_axes(model: Any, graph: Any, operator: Any) -> None:
    """Leave axes open behind conversions of numbers, where the quantizer closes them."""
    operation = flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex])
    if operation in (_Operation.QUANTIZE, _Operation.DEQUANTIZE):
        source, result = (graph.tensors[side[0]] for side in (operator.inputs, operator.outputs))
        result.shapeSignature = source.shapeSignature


def _declare_integers(model: Any, graph: Any, operator: Any) -> None:
    """Give an operation that computes integers the version that has them, not that of floats."""
    code = model.operatorCodes[operator.opcodeIndex]
    operation = flatbuffer.operation_of(code)
    kind = _OPERATION_NAMES[operation]
    tensor = computed_with(kind, operator.inputs, operator.outputs)
    if tensor is None:
        return
    dtype = _TYPE_NAMES[graph.tensors[tensor].type].lower()
    if dtype == "int16" and hasattr(operator.builtinOptions, "potScaleInt16"):
        read_and_computed = (*operator.inputs, operator.outputs[0])
        scales = [graph.tensors[index].quantization.scale[0] for index in read_and_computed]
        operator.builtinOptions.potScaleInt16 = not _are_refused_shifts(scales)
    version = version_for(kind, dtype)
    if version > code.version:
        operator.opcodeIndex = flatbuffer.operator_code(model, operation, version)


def _are_refused_shifts(scales: Sequence[float]) -> bool:
    """Tell whether a sum or difference in int16 would shift by what its kernel refuses.

    It shifts where all scales, of both inputs and the result, are next to powers of two, and
    multiplies elsewhere; where it is told to, it always multiplies. A difference such as 1 - mask
    is exact by shifts alone.
    """
    exponents = np.log2(scales)
    nearest = np.rint(exponents)
    shifts = nearest[:2] - nearest[2]
    # One input stays as it is, and the other one, if any, is shifted to the right.
    return bool((np.abs(exponents - nearest) < _NEXT_TO).all()) and bool(shifts.max() != 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop a progress bar that cannot be turned off, and LiteRT's warning of its memory."""
    with (
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=KEEPS_ALL)
        yield
