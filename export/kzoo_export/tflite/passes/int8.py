"""Store weights of a TFLite file as int8, one scale a channel or a table row.

Where activations are quantized at run time, products run in integers; else the weights are widened
in front of them. Lookups read 8-bit rows, each with its own scale.
"""

import contextlib
import importlib
import importlib.util
import io
import re
from collections.abc import Iterator, Set
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from kzoo.arguments import require_packages
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
_WEIGHT = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
# The quantizer's names for how a product with an 8-bit weight is computed.
_WIDENED = {"compute_precision": "FLOAT", "explicit_dequantize": True}
_INTEGERS = {"compute_precision": "INTEGER", "explicit_dequantize": False}


def quantize_weights(model: Any, widened: Set[str], multiplied: Set[str]) -> Any:
    """Quantize weights to int8.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
        widened: The weights that are widened in front of a float product.
        multiplied: The weights of products in integers.

    Returns:
        The quantized `ModelT`.
    """
    entries = [
        *_entries(model, widened, _WIDENED),
        *_entries(model, multiplied, _INTEGERS),
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
        require_packages(_PACKAGES[:1], "export", "quantizing .tflite files to int8")
    return importlib.import_module(f"{found[0]}.quantizer")


def _entries(model: Any, names: Set[str], computed: dict[str, Any]) -> list[dict[str, Any]]:
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
            "op_config": {"weight_tensor_config": _WEIGHT, **computed},
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
