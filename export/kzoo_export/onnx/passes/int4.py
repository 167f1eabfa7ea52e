"""Tables of an ONNX graph in 4 bits, with a scale for each block of a row.

The runtime's own GatherBlockQuantized reads them: the standard DequantizeLinear would widen the
whole table for every lookup.
"""

from collections.abc import Set

import ml_dtypes
import numpy as np
import onnx_ir as ir

from kzoo_export.onnx.passes.graph import Editor
from kzoo_export.onnx.passes.weights import lookups
from kzoo_export.recipe import BLOCK

_LEVELS = 7
# Shares of the largest magnitude of a block that are tried as its range.
_SHARES = np.linspace(0.7, 1.0, 13, dtype=np.float32)


def store_tables(model: ir.Model, names: Set[str]) -> None:
    """Look rows up in tables of 4-bit numbers, in place.

    Args:
        model: The model.
        names: The tables; their rows have a whole number of blocks.
    """
    graph = model.graph
    for node, table in lookups(graph, names):
        stored, index = node.inputs
        edit = Editor(graph, node)
        elements, scales = blocks(table)
        rows = edit.add(
            "GatherBlockQuantized",
            edit.constant(f"{stored.name}_int4", elements),
            index,
            edit.constant(f"{stored.name}_block_scales", scales),
            domain="com.microsoft",
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )
        edit.replace(node.outputs[0], edit.add("Cast", rows, to=ir.DataType.FLOAT))


def blocks(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a table to 4 bits, in each block with the scale that loses least.

    Args:
        table: (V, D).

    Returns:
        The int4 elements (V, D), none of them -8, and the float16 scales (V, D / BLOCK).
    """
    cut = table.reshape(len(table), -1, BLOCK)
    largest = np.abs(cut).max(-1, keepdims=True)
    elements, scales = _rounded(cut, largest)
    least = np.square(cut - elements * scales).sum(-1, keepdims=True)
    for share in _SHARES[:-1]:
        others, other_scales = _rounded(cut, largest * share)
        loss = np.square(cut - others * other_scales).sum(-1, keepdims=True)
        elements = np.where(loss < least, others, elements)
        scales = np.where(loss < least, other_scales, scales)
        least = np.minimum(loss, least)
    return (
        elements.reshape(table.shape).astype(ml_dtypes.int4),
        scales[..., 0].astype(np.float16),
    )


def _rounded(cut: np.ndarray, ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round with the scales as float16 has them."""
    scales = (ranges / _LEVELS).astype(np.float16).astype(np.float32)
    scales = np.where(scales > 0, scales, np.float32(1.0))
    return np.clip(np.rint(cut / scales), -_LEVELS, _LEVELS), scales
