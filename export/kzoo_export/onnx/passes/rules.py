"""Rewrite rules for what Keras layers become in ONNX, before anything is fused for a runtime."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern


def rule_sets() -> list[Any]:
    """List the rules, in the order in which one set prepares the next."""
    return [
        pattern.RewriteRuleSet(
            [*SPELLINGS, Flatten.rule(), EinsumMatrix.rule(), HoistScale.rule(), *WRAPS]
        ),
        pattern.RewriteRuleSet([*NORMALIZATIONS, *GELUS]),
    ]


def _scalar(value: ir.Value | None) -> float | None:
    """Read a constant of one element."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    return float(value.const_value.numpy().item())


def _sizes(value: ir.Value | None) -> list[int]:
    """Read a static shape; of anything else, the empty list."""
    if value is None or value.shape is None or not value.shape.is_static():
        return []
    return [int(size) for size in value.shape]


def _is_near(value: ir.Value | None, number: float) -> bool:
    scalar = _scalar(value)
    return scalar is not None and math.isclose(scalar, number, rel_tol=1e-5)


def order_operands(graph: ir.Graph) -> None:
    """Put the constant of a sum or product second, where the rules look for it.

    Args:
        graph: The graph, changed in place.
    """
    for node in graph:
        if node.op_type in ("Add", "Mul") and len(node.inputs) == 2:
            first, second = node.inputs
            if first.const_value is not None and second.const_value is None:
                node.replace_input_with(0, second)
                node.replace_input_with(1, first)


# Other spellings of what the rules below look for.
SPELLINGS = [
    pattern.RewriteRule(lambda op, x: op.Pow(x, 2.0), lambda op, x: op.Mul(x, x)),
    pattern.RewriteRule(
        lambda op, x, y: op.Div(x, op.Sqrt(y)),
        lambda op, x, y: op.Mul(x, op.Reciprocal(op.Sqrt(y))),
    ),
]


class Flatten(pattern.RewriteRuleClassBase):
    """Multiply (..., D) by a matrix directly, instead of flattened to (rows, D) and back."""

    def __init__(self) -> None:
        super().__init__(remove_nodes=False)

    def pattern(self, op: Any, x: Any, flat_shape: Any, weight: Any, shape: Any) -> Any:
        """Describe the operations; see the base class."""
        flat = op.Reshape(x, flat_shape)
        product = op.MatMul(flat, weight)
        return op.Reshape(product, shape, _outputs=["unflattened"])

    def check(self, context: Any, x: Any, weight: Any, unflattened: Any, **_: Any) -> bool:
        """Accept what the replacement can express; see the base class."""
        matrix, result = _sizes(weight), _sizes(unflattened)
        return bool(_sizes(x) and result) and len(matrix) == 2 and result[-1] == matrix[1]

    def rewrite(self, op: Any, x: Any, weight: Any, unflattened: Any, **_: Any) -> Any:
        """Build the replacement; see the base class."""
        wanted = [*_sizes(unflattened)[:-1], _sizes(weight)[0]]
        if _sizes(x) != wanted:
            x = op.Reshape(x, op.Constant(value=ir.tensor(np.array(wanted, np.int64))))
        return op.MatMul(x, weight)


class HoistScale(pattern.RewriteRuleClassBase):
    """Scale after a transposition, next to the product it belongs to."""

    def pattern(self, op: Any, x: Any, scale: Any) -> Any:
        """Describe the operations; see the base class."""
        return op.Transpose(op.Mul(x, scale), _outputs=["transposed"])

    def check(self, context: Any, scale: Any, **_: Any) -> bool:
        """Accept what the replacement can express; see the base class."""
        return _scalar(scale) is not None

    def rewrite(self, op: Any, x: Any, scale: Any, transposed: Any) -> Any:
        """Build the replacement; see the base class."""
        order = transposed.producer().attributes["perm"].as_ints()
        return op.Mul(op.Transpose(x, perm=order), scale)


def _index_wrap_where(op: Any, table: Any, index: Any, zero: Any, size: Any) -> Any:
    negative = op.Less(index, zero)
    wrapped = op.Where(negative, op.Add(index, size), index)
    return op.Gather(table, wrapped, axis=0)


def _index_wrap_products(op: Any, table: Any, index: Any, zero: Any, size: Any) -> Any:
    negative = op.Less(op.Cast(index, to=ir.DataType.FLOAT), zero)
    kept = op.Mul(index, op.Cast(op.Not(negative), to=ir.DataType.INT32))
    moved = op.Mul(op.Cast(negative, to=ir.DataType.INT32), op.Add(index, size))
    return op.Gather(table, op.Add(moved, kept), axis=0)


def _is_index_wrap(context: Any, table: Any, zero: Any, size: Any, **_: Any) -> bool:
    sizes = _sizes(table)
    return bool(sizes) and _scalar(zero) == 0 and _scalar(size) == sizes[0]


def _plain_gather(op: Any, table: Any, index: Any, **_: Any) -> Any:
    return op.Gather(table, index, axis=0)


# Gather counts negative indices from the end by itself.
WRAPS = [
    pattern.RewriteRule(target, _plain_gather, _is_index_wrap)
    for target in (_index_wrap_where, _index_wrap_products)
]


class Normalization(pattern.RewriteRuleClassBase):
    """A mean, a variance and a scale over the last axis are one LayerNormalization."""

    def __init__(self, form: str) -> None:
        super().__init__(name=form, remove_nodes=False)
        self.form = form

    def pattern(
        self, op: Any, x: Any, axes: Any, axes_: Any, epsilon: Any, scale: Any, bias: Any
    ) -> Any:
        """Describe the operations; see the base class."""
        mean = op.ReduceMean(x, axes, _allow_other_attributes=True)
        centered = op.Sub(x, mean)
        variance = op.ReduceMean(op.Mul(centered, centered), axes_, _allow_other_attributes=True)
        inverse = op.Reciprocal(op.Sqrt(op.Add(variance, epsilon)))
        return _FORMS[self.form](op, x, mean, centered, inverse, scale, bias)

    def check(self, context: Any, **values: Any) -> bool:
        """Accept a constant epsilon, the last axis, and a scale and bias along it."""
        sizes = _sizes(values["x"])
        if not sizes or _scalar(values["epsilon"]) is None:
            return False
        rows = (_row(values["scale"], sizes[-1]), _row(values["bias"], sizes[-1]))
        last = (-1, len(sizes) - 1)
        axes = (_scalar(values["axes"]), _scalar(values["axes_"]))
        return all(row is not None for row in rows) and all(axis in last for axis in axes)

    def rewrite(self, op: Any, x: Any, epsilon: Any, scale: Any, bias: Any, **_: Any) -> Any:
        """Build the one operation; see the base class."""
        width = _sizes(x)[-1]
        rows = [op.Constant(value=ir.tensor(_row(value, width))) for value in (scale, bias)]
        return op.LayerNormalization(x, *rows, axis=-1, epsilon=_scalar(epsilon))


def _row(value: ir.Value | None, width: int) -> np.ndarray | None:
    """Read a constant that is one row of numbers, or one number for all."""
    if value is None or value.const_value is None or value.const_value.size not in (1, width):
        return None
    if value.const_value.size == width != list(value.const_value.shape)[-1]:
        return None
    return np.broadcast_to(value.const_value.numpy().reshape(-1), (width,)).copy()


# What follows the mean, the centered input and its deviation, as different libraries write it.
_FORMS: dict[str, Callable[..., Any]] = {
    "scaled last": lambda op, x, mean, centered, inverse, scale, bias: (
        op.Mul(op.Mul(centered, inverse), scale) + bias
    ),
    "scaled first": lambda op, x, mean, centered, inverse, scale, bias: (
        op.Mul(centered, op.Mul(inverse, scale)) + bias
    ),
    # As Keras writes it on TensorFlow.
    "folded": lambda op, x, mean, centered, inverse, scale, bias: (
        op.Mul(x, op.Mul(inverse, scale)) + (op.Mul(op.Neg(mean), op.Mul(inverse, scale)) + bias)
    ),
}

NORMALIZATIONS = [Normalization.rule(form) for form in _FORMS]


def _gelu_erfc(op: Any, x: Any, half: Any, one: Any, factor: Any) -> Any:
    """GELU(x) = x / 2 * (1 - erf(-x / sqrt(2))), what TensorFlow computes."""
    return op.Mul(op.Mul(x, half), op.Sub(one, op.Erf(op.Mul(op.Neg(x), factor))))


def _gelu_erf(op: Any, x: Any, half: Any, one: Any, factor: Any) -> Any:
    """GELU(x) = x / 2 * (1 + erf(x / sqrt(2)))."""
    return op.Mul(op.Mul(x, half), op.Add(op.Erf(op.Mul(x, factor)), one))


def _gelu_tanh(op: Any, x: Any, half: Any, one: Any, factor: Any, cubic: Any) -> Any:
    """GELU(x) is about x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))."""
    inner = op.Add(x, op.Mul(op.Pow(x, 3.0), cubic))
    return op.Mul(op.Mul(x, half), op.Add(op.Tanh(op.Mul(inner, factor)), one))


def _is_gelu(context: Any, half: Any, one: Any, factor: Any, **_: Any) -> bool:
    return _is_near(half, 0.5) and _is_near(one, 1.0) and _is_near(factor, math.sqrt(0.5))


def _is_gelu_tanh(context: Any, half: Any, one: Any, factor: Any, cubic: Any, **_: Any) -> bool:
    wanted = ((half, 0.5), (one, 1.0), (factor, math.sqrt(2 / math.pi)), (cubic, 0.044715))
    return all(_is_near(value, number) for value, number in wanted)


def _gelu(op: Any, x: Any, **_: Any) -> Any:
    return op.Gelu(x)


def _approximate_gelu(op: Any, x: Any, **_: Any) -> Any:
    return op.Gelu(x, approximate="tanh")


GELUS = [
    pattern.RewriteRule(_gelu_erfc, _gelu, _is_gelu),
    pattern.RewriteRule(_gelu_erf, _gelu, _is_gelu),
    pattern.RewriteRule(_gelu_tanh, _approximate_gelu, _is_gelu_tanh),
]


class EinsumMatrix(pattern.RewriteRuleClassBase):
    """A contraction of trailing axes with a constant is a product with a matrix."""

    def pattern(self, op: Any, x: Any, weight: Any) -> Any:
        """Describe the operations; see the base class."""
        return op.Einsum(x, weight, _allow_other_attributes=True, _outputs=["contracted"])

    def check(self, context: Any, x: Any, weight: Any, contracted: Any, **_: Any) -> bool:
        """Accept `...C,CF->...F` for any letters, with static shapes."""
        known = all(_sizes(value) for value in (x, weight, contracted))
        return known and weight.const_value is not None and _contracted_axes(contracted) > 0

    def rewrite(self, op: Any, x: Any, weight: Any, contracted: Any) -> Any:
        """Build the product; see the base class."""
        count = _contracted_axes(contracted)
        inner = int(np.prod(_sizes(weight)[:count]))
        matrix = op.Constant(value=ir.tensor(weight.const_value.numpy().reshape(inner, -1)))
        if count > 1:
            x = op.Reshape(x, _shape(op, [*_sizes(x)[:-count], inner]))
        product = op.MatMul(x, matrix)
        if len(_sizes(weight)) == count + 1:
            return product
        return op.Reshape(product, _shape(op, _sizes(contracted)))


def _shape(op: Any, sizes: list[int]) -> Any:
    return op.Constant(value=ir.tensor(np.array(sizes, np.int64)))


def _contracted_axes(contracted: ir.Value) -> int:
    """Count the axes that an Einsum sums over, or 0 if it is not a plain matrix product."""
    equation = contracted.producer().attributes.get_string("equation").replace(" ", "")
    operands, _, result = equation.partition("->")
    first, _, second = operands.partition(",")
    summed = "".join(letter for letter in first if letter in second)
    plain = summed and first.endswith(summed) and second.startswith(summed)
    count = len(summed)
    return count if plain and result == first[:-count] + second[count:] else 0
