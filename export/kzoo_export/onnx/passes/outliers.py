"""Channels of activations that would take the whole range of 8 bits for themselves.

Dynamic quantization gives one scale to all of an activation. In transformers a handful of channels
is an order of magnitude larger than the rest, which is then left with a few of the 256 steps. A
look at samples tells which.

There are two ways to deal with them. Smoothing moves a part of them to the weights. Where an
activation such as GELU stands between two products, its outlying channels are units of the layer:
columns of the first matrix and rows of the second. A thin layer of those units alone stays in
float32 (Dettmers et al., LLM.int8(), 2022, section 3.2, have the idea, but choose at run time).
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes.graph import Editor, Product, only_use, products
from kzoo_export.outliers import outlying

# Rows of samples that are looked at.
_ROWS = 64
# The size of an open axis where no samples are known.
_OPEN_LENGTH = 16
# Activations that are zero at zero: a unit without weights is silent.
_ACTIVATIONS = ("Gelu", "Relu")
# A thin layer has at most this many units.
_MOST = 16
# What the matrices of thin layers are called, after the ones they are taken from.
_SUFFIX = "_units"


def channel_magnitudes(model: ir.Model, samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run the float32 model and keep the largest magnitude of every channel.

    Args:
        model: The float32 model.
        samples: Inputs by name, any number of rows.

    Returns:
        One magnitude for each channel, by the name of each value that enters a product with a
        weight.
    """
    names = sorted({product.activation.name for product in products(model.graph)})
    given = {name: _channels(samples[name]) for name in names if name in samples}
    computed = [name for name in names if name not in given]
    if not computed:
        return given
    session = _probe(model, computed)
    batch_size = _size(model.graph.inputs[0].shape[0])
    inputs = [value.name for value in model.graph.inputs]
    num_rows = len(samples[inputs[0]])
    found = [np.float32(0.0)] * len(computed)
    for start in range(0, min(_ROWS, num_rows), batch_size):
        rows = np.arange(start, start + batch_size) % num_rows
        outputs = session.run(computed, {name: samples[name][rows] for name in inputs})
        found = [np.maximum(_channels(a), before) for a, before in zip(outputs, found, strict=True)]
    return {**given, **dict(zip(computed, found, strict=True))}


def random_samples(model: ir.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Make inputs for a model of which no samples are known.

    Args:
        model: The model.
        seed: Seed of the numbers.

    Returns:
        A few rows for each input: indices inside the tables they look up, ones for other integers,
        normal numbers for the rest.
    """
    generator = np.random.default_rng(seed)
    return {value.name: _random(value, generator) for value in model.graph.inputs}


def _random(value: ir.Value, generator: np.random.Generator) -> np.ndarray:
    first, *rest = value.shape
    sizes = [_size(first), *(_size(size, _OPEN_LENGTH) for size in rest)]
    shape = (-(-_ROWS // sizes[0]) * sizes[0], *sizes[1:])
    dtype = value.dtype.numpy()
    if np.issubdtype(dtype, np.floating):
        return generator.normal(size=shape).astype(dtype)
    highest = max(_table_sizes(value), default=2)
    return generator.integers(1, highest, shape, dtype=dtype)


def _size(size: Any, otherwise: int = 1) -> int:
    """Return the size of an axis, or another one where it is open."""
    return size if isinstance(size, int) else otherwise


def _table_sizes(value: ir.Value) -> list[int]:
    """Sizes of the tables that a value looks up, directly or after a cast."""
    sizes = []
    for node, place in value.uses():
        if node.op_type == "Cast":
            sizes += _table_sizes(node.outputs[0])
        elif node.op_type == "Gather" and place == 1 and node.inputs[0].const_value is not None:
            sizes.append(int(node.inputs[0].shape[0]))
    return sizes


def _channels(array: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(array).reshape(-1, array.shape[-1]).max(0))


def _probe(model: ir.Model, names: Sequence[str]) -> Any:
    """Load the model with other values as its outputs."""
    import onnxruntime

    probed = model.clone()
    values = {value.name: value for node in probed.graph for value in node.outputs}
    probed.graph.outputs.clear()
    probed.graph.outputs.extend(values[name] for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        ir.to_proto(probed).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def split_units(
    graph: ir.Graph, magnitudes: Mapping[str, np.ndarray], names: Set[str]
) -> tuple[set[str], dict[str, np.ndarray]]:
    """Give outlying units a thin layer of their own, wherever that is possible.

    Args:
        graph: The float32 graph, changed in place.
        magnitudes: The largest magnitude of every channel, by the name of the value.
        names: The weights that lose precision to outliers.

    Returns:
        The names of these weights, some of which are without their outlying units now, and the
        magnitudes that are left.
    """
    found = [product for product in products(graph) if product.stored.name in names]
    quantized = set(names)
    makers = {product.output: product for product in found}
    left = dict(magnitudes)
    for second in found:
        name = second.activation.name
        first = _maker(second, makers) if name in left else None
        if first is None:
            continue
        units = outlying(left[name], _MOST)
        if len(units):
            quantized |= _split(graph, first, second, units)
            left[name] = _without(left[name], units)
    return quantized, left


def _maker(second: Product, makers: Mapping[ir.Value, Product]) -> Product | None:
    """Find the product in front of the activation that a product reads, if nothing else does."""
    node = second.activation.producer()
    if node is None or node.domain != "" or node.op_type not in _ACTIVATIONS:
        return None
    first = makers.get(node.inputs[0])
    chain = (
        first is not None
        and only_use(first.output, node.op_type) is node
        and only_use(second.activation, second.node.op_type) is second.node
        and not second.output.is_graph_output()
    )
    plain = first is not None and all(p.node.inputs[1] is p.stored for p in (first, second))
    is_matmul = first is not None and {first.node.op_type, second.node.op_type} == {"MatMul"}
    return first if chain and plain and is_matmul else None


def _split(graph: ir.Graph, first: Product, second: Product, units: np.ndarray) -> set[str]:
    """Silence units in the layer, add what they would have given, and name the silent weights."""
    activation = second.activation.producer()
    assert activation is not None
    edit = Editor(graph, second.node)
    into = edit.constant(f"{first.stored.name}{_SUFFIX}", first.matrix[:, units])
    thin = edit.add("MatMul", first.activation, into)
    if first.bias is not None:
        bias = first.bias.const_value.numpy()
        # ONNX Runtime would make an Add one operation with the product, between two reshapes.
        thin = edit.add("Sum", thin, edit.constant(f"{first.bias.name}{_SUFFIX}", bias[units]))
        silent = edit.constant(f"{first.bias.name}_others", _without(bias, units))
        _replace_input(first.output.producer(), first.bias, silent)
    thin = edit.add(activation.op_type, thin, **_attributes(activation))
    out = edit.constant(f"{second.stored.name}{_SUFFIX}", second.matrix[units])
    thin = edit.add("MatMul", thin, out)
    names = set()
    for product, matrix in (
        (first, _without(first.matrix.T, units).T),
        (second, _without(second.matrix, units)),
    ):
        rest = edit.constant(f"{product.stored.name}_others", matrix)
        _replace_input(product.node, product.stored, rest)
        names.add(str(rest.name))
    _add(graph, second.output, thin)
    return names


def _attributes(node: ir.Node) -> dict[str, Any]:
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _without(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    rest = array.copy()
    rest[rows] = 0.0
    return rest


def _replace_input(node: ir.Node | None, old: ir.Value, new: ir.Value) -> None:
    assert node is not None
    node.replace_input_with(list(node.inputs).index(old), new)


def _add(graph: ir.Graph, output: ir.Value, part: ir.Value) -> None:
    """Add a part to an output, for everything that reads it."""
    total = only_use(output, "Sum")
    if total is not None:
        edit = Editor(graph, total)
        edit.replace(total.outputs[0], edit.add("Sum", *total.inputs, part))
        return
    uses, producer = list(output.uses()), output.producer()
    addition = ir.node("Add", [output, part])
    assert producer is not None
    graph.insert_after(producer, addition)
    addition.outputs[0].shape, addition.outputs[0].type = output.shape, output.type
    for use in uses:
        use.node.replace_input_with(use.idx, addition.outputs[0])
