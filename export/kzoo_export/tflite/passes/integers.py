"""Store weights of a TFLite file as int8, one scale a channel or a table row, or tables as int4.

Where activations are quantized at run time, products run in integers; else the weights are widened
in front of them. Lookups read rows of 8 bits, each with its own scale, or of 4 bits, with a scale a
block.
"""

import contextlib
import importlib
import importlib.util
import io
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from kzoo.arguments import require_packages
from kzoo_export.recipe import BLOCK, DYNAMIC_INT8, INT4, INT8, Numbers
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.passes.weights import operation_with

# The quantizer is being renamed.
_PACKAGES = ("ai_edge_quantizer", "litert_quantizer")
_Operation = schema.BuiltinOperator
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
_CONFIGS = {
    INT8: {"weight_tensor_config": _CHANNELS, **_WIDENED},
    DYNAMIC_INT8: {"weight_tensor_config": _CHANNELS, **_IN_KERNEL},
    INT4: {"weight_tensor_config": _BLOCKS, **_IN_KERNEL},
}


def quantize_weights(model: Any, chosen: Mapping[Numbers, Set[str]]) -> Any:
    """Quantize weights to integers.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        chosen: The names of the weights by the numbers they get; those that are no integers are
            passed over.

    Returns:
        The quantized `ModelT`.
    """
    entries = [
        entry
        for numbers, config in _CONFIGS.items()
        for entry in _entries(model, chosen[numbers], config)
    ]
    if not entries:
        return model
    with _quiet():
        quantizer = _package().Quantizer(flatbuffer.write(model), entries)
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    model = flatbuffer.read(bytes(result.quantized_model))
    for graph in model.subgraphs:
        for operator in graph.operators:
            _declare_hybrid(model, graph, operator)
    return model


def _package() -> Any:
    """Import the quantizer under the name it is installed by."""
    found = [name for name in _PACKAGES if importlib.util.find_spec(name)]
    if not found:
        require_packages(_PACKAGES[:1], "tflite", "quantizing .tflite files to integers")
    return importlib.import_module(f"{found[0]}.quantizer")


def _entries(model: Any, names: Set[str], config: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the quantizer's recipe: one entry for each operation, told by what it computes.

    Nothing is left to its defaults: it writes files that cannot be loaded where the constant of a
    BATCH_MATMUL is on the left.
    """
    results = [
        graph.tensors[operator.outputs[0]].name.decode()
        for graph in model.subgraphs
        for operator in graph.operators
        if operation_with(model, operator) != "other"
        and graph.tensors[operator.inputs[1]].name.decode() in names
    ]
    return [
        {
            "regex": f"^{re.escape(name)};$",
            "operation": "*",
            "algorithm_key": "min_max_uniform_quantize",
            "op_config": config,
        }
        for name in results
    ]


def _declare_hybrid(model: Any, graph: Any, operator: Any) -> None:
    """Declare an operation that multiplies floats by int8 as TensorFlow's converter does.

    The quantizer keeps the version of the float operation, which old runtimes would compute with
    the scale of one channel. It also leaves off the flag by which kernels scale activations from
    their least to their largest number, as if they were symmetric around zero.
    """
    if len(operator.inputs) < 2 or graph.tensors[operator.inputs[1]].type != schema.TensorType.INT8:
        return
    operation = flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex])
    if operation in _HYBRID_VERSIONS:
        version = _HYBRID_VERSIONS[operation]
        operator.opcodeIndex = flatbuffer.operator_code(model, operation, version)
    if hasattr(operator.builtinOptions, "asymmetricQuantizeInputs"):
        operator.builtinOptions.asymmetricQuantizeInputs = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop progress bars: one of the quantizer's cannot be turned off."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
