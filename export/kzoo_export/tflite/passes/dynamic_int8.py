"""Store the weights of a TFLite file as int8, for activations that are scaled at run time.

Products run in integers where the runtime has such kernels. Lookups read 8-bit rows, each with its
own scale.
"""

import contextlib
import importlib
import importlib.util
import io
import re
from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from kzoo.arguments import require_packages
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.passes.embedding_lookup import use_embedding_lookup

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


def quantize_weights(content: bytes, smallest: int) -> bytes:
    """Quantize weights to int8, one scale a channel or a table row.

    Args:
        content: A float32 file.
        smallest: Elements of the smallest weight to quantize.

    Returns:
        The quantized file, its weights inside the flatbuffer.
    """
    model = flatbuffer.read(content)
    use_embedding_lookup(model, smallest)
    _number_names(model)
    recipe = [_recipe(smallest), *_exceptions(model, smallest)]
    with _quiet():
        quantizer = _package().Quantizer(flatbuffer.write(model), recipe)
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    model = flatbuffer.read(bytes(result.quantized_model))
    for graph in model.subgraphs:
        for operator in graph.operators:
            _declare_hybrid(model, graph, operator)
    return flatbuffer.write(model)


def _package() -> Any:
    """Import the quantizer under the name it is installed by."""
    found = [name for name in _PACKAGES if importlib.util.find_spec(name)]
    if not found:
        require_packages(_PACKAGES[:1], "export", "quantizing .tflite files to int8")
    return importlib.import_module(f"{found[0]}.quantizer")


def _number_names(model: Any) -> None:
    """Give every tensor a name of its own: the quantizer tells tensors by their names."""
    taken: set[bytes] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            base = name = tensor.name or b"tensor"
            number = 1
            while name in taken:
                name, number = b"%s_%d" % (base, number), number + 1
            taken.add(name)
            tensor.name = name


def _recipe(smallest: int) -> dict[str, Any]:
    """Write the recipe in the quantizer's terms: its `dynamic_wi8_afp32` with a smallest size."""
    weight = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
    config = {
        "weight_tensor_config": weight,
        "compute_precision": "INTEGER",
        "explicit_dequantize": False,
        "min_weight_elements": smallest,
    }
    return {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": config,
    }


def _exceptions(model: Any, smallest: int) -> list[dict[str, Any]]:
    """List the products that must stay in float.

    For BATCH_MATMUL the quantizer ignores the smallest size, and writes a file that cannot be
    loaded if the constant is on the left.
    """
    kept = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            if _operation(model, operator) != _Operation.BATCH_MATMUL:
                continue
            left, right = (
                flatbuffer.constant_of(model, graph.tensors[index]) for index in operator.inputs
            )
            if left is not None or (right is not None and right.size < smallest):
                kept.append(graph.tensors[operator.outputs[0]].name.decode())
    return [
        {
            "regex": f"^{re.escape(name)};$",
            "operation": "BATCH_MATMUL",
            "algorithm_key": "no_quantize",
        }
        for name in kept
    ]


def _declare_hybrid(model: Any, graph: Any, operator: Any) -> None:
    """Declare an operation that multiplies floats by int8 as TensorFlow's converter does.

    The quantizer keeps the version of the float operation, which old runtimes would compute with
    the scale of one channel. It also leaves off the flag by which kernels scale activations from
    their least to their largest number, as if they were symmetric around zero.
    """
    if len(operator.inputs) < 2 or graph.tensors[operator.inputs[1]].type != schema.TensorType.INT8:
        return
    operation = _operation(model, operator)
    if operation in _HYBRID_VERSIONS:
        version = _HYBRID_VERSIONS[operation]
        operator.opcodeIndex = flatbuffer.operator_code(model, operation, version)
    if hasattr(operator.builtinOptions, "asymmetricQuantizeInputs"):
        operator.builtinOptions.asymmetricQuantizeInputs = True


def _operation(model: Any, operator: Any) -> int:
    return flatbuffer.operation_of(model.operatorCodes[operator.opcodeIndex])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop progress bars: one of the quantizer's cannot be turned off."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
