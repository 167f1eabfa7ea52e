"""Hard swish as operations that have kernels for integers of 16 bits: its own has those of 8."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kzoo_export.tflite.passes.graph import Graph, rewrite

_Op = schema.BuiltinOperator


def decompose_hard_swish(model: Any) -> None:
    """Rewrite hard swish as `x min(max(x + 3, 0), 6) / 6`, in place.

    Args:
        model: A float32 `ModelT` whose tensors have names of their own.
    """
    rewrite(model, _decompose)


def _decompose(graph: Graph, operator: Any) -> None:
    if graph.operation(operator) != _Op.HARD_SWISH:
        return
    (source,), (result,) = operator.inputs, operator.outputs
    name = graph.name(result)
    three = graph.add_constant(np.array(3, np.float32), f"{name}/three")
    sixth = graph.add_constant(np.array(1 / 6, np.float32), f"{name}/sixth")
    relu6 = schema.ActivationFunctionType.RELU6
    gate = graph.compute(_Op.ADD, [source, three], result, f"{name}/gate", relu6)
    product = graph.compute(_Op.MUL, [source, gate], result, f"{name}/product")
    graph.redirect(result, graph.compute(_Op.MUL, [product, sixth], result, f"{name}/scaled"))
