"""Rewrite rules for what Keras layers become in ONNX, before anything is fused for a runtime."""

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern


def rule_sets() -> list[Any]:
    """List the rules, in the order in which one set prepares the next."""
    return [
        pattern.RewriteRuleSet([Flatten.rule(), HoistScale.rule(), *WRAPS]),
        pattern.RewriteRuleSet([*NORMALIZATIONS, *GELUS]),
        pattern.RewriteRuleSet([NormalizationBias.rule()], commute=True),
    ]


def _scalar(value: ir.Value | None) -> float | None:
    """Read a constant of one element."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    return float(value.const_value.numpy().item())


def _sizes(value: ir.Value | None) -> list[int] | None:
    """Read a static shape."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return [int(size) for size in value.shape]


def _is_near(value: ir.Value | None, number: float) -> bool:
    scalar = _scalar(value)
    return scalar is not None and math.isclose(scalar, number, rel_tol=1e-5)


class Flatten(pattern.RewriteRuleClassBase):
    """Multiply (..., D) by a matrix directly, instead of flattened to (rows, D) and back."""

    def __init__(self) -> None:
        super().__init__(remove_nodes=False)

    def pattern(self, op: Any, x: Any, flat_shape: Any, weight: Any, shape: Any) -> Any:
        flat = op.Reshape(x, flat_shape)
        product = op.MatMul(flat, weight)
        return op.Reshape(product, shape, _outputs=["unflattened"])

    def check(self, context: Any, x: Any, weight: Any, unflattened: Any, **_: Any) -> bool:
        matrix, result = _sizes(weight), _sizes(unflattened)
        if matrix is None or result is None or _sizes(x) is None:
            return False
        return len(matrix) == 2 and result[-1] == matrix[1]

    def rewrite(self, op: Any, x: Any, weight: Any, unflattened: Any, **_: Any) -> Any:
        wanted = [*_sizes(unflattened)[:-1], _sizes(weight)[0]]
        if _sizes(x) != wanted:
            x = op.Reshape(x, op.Constant(value=ir.tensor(np.array(wanted, np.int64))))
        return op.MatMul(x, weight)


class HoistScale(pattern.RewriteRuleClassBase):
    """Scale after a transposition, next to the product it belongs to."""

    def pattern(self, op: Any, x: Any, scale: Any) -> Any:
        return op.Transpose(op.Mul(x, scale), _outputs=["transposed"])

    def check(self, context: Any, scale: Any, **_: Any) -> bool:
        return _scalar(scale) is not None

    def rewrite(self, op: Any, x: Any, scale: Any, transposed: Any) -> Any:
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
    return sizes is not None and _scalar(zero) == 0 and _scalar(size) == sizes[0]


def _plain_gather(op: Any, table: Any, index: Any, **_: Any) -> Any:
    return op.Gather(table, index, axis=0)


# Gather counts negative indices from the end by itself.
WRAPS = [
    pattern.RewriteRule(target, _plain_gather, _is_index_wrap)
    for target in (_index_wrap_where, _index_wrap_products)
]


def _centre(op: Any, x: Any, axes: Any) -> tuple[Any, Any]:
    mean = op.ReduceMean(x, axes, _allow_other_attributes=True)
    return mean, op.Sub(x, mean)


def _inverse(op: Any, x: Any, axes: Any, epsilon: Any) -> Any:
    """1 / sqrt(variance + epsilon)."""
    _, centred = _centre(op, x, axes)
    square = pattern.OrValue([op.Mul(centred, centred), op.Pow(centred, 2.0)])
    variance = op.ReduceMean(square, axes, _allow_other_attributes=True)
    deviation = op.Sqrt(pattern.OrValue([op.Add(variance, epsilon), op.Add(epsilon, variance)]))
    return pattern.OrValue([op.Reciprocal(deviation), op.Div(1.0, deviation)])


def _normalized_then_scaled(op: Any, x: Any, axes: Any, epsilon: Any, scale: Any) -> Any:
    mean = op.ReduceMean(x, axes, _allow_other_attributes=True)
    centred = op.Sub(x, mean)
    return centred, mean


class Normalization(pattern.RewriteRuleClassBase):
    """A mean, a variance and a scale over the last axis are one LayerNormalization."""

    def __init__(self, form: str) -> None:
        super().__init__(name=form)
        self.form = form

    def pattern(self, op: Any, x: Any, axes: Any, axes_: Any, epsilon: Any, scale: Any) -> Any:
        mean = op.ReduceMean(x, axes, _allow_other_attributes=True)
        centred = op.Sub(x, mean)
        square = pattern.OrValue([op.Mul(centred, centred), op.Pow(centred, 2.0)])
        variance = op.ReduceMean(square, axes_, _allow_other_attributes=True)
        deviation = op.Sqrt(op.Add(variance, epsilon))
        if self.form == "divided":
            return op.Mul(op.Div(centred, deviation), scale)
        inverse = op.Reciprocal(deviation)
        if self.form == "scaled last":
            return op.Mul(op.Mul(centred, inverse), scale)
        return op.Mul(centred, op.Mul(inverse, scale))

    def check(self, context: Any, x: Any, axes: Any, axes_: Any, epsilon: Any, scale: Any, **_: Any) -> bool:
        return (
            _is_last_axis(axes, x)
            and _is_last_axis(axes_, x)
            and _scalar(epsilon) is not None
            and _sizes(scale) == _sizes(x)[-1:]
        )

    def rewrite(self, op: Any, x: Any, epsilon: Any, scale: Any, **_: Any) -> Any:
        return op.LayerNormalization(x, scale, axis=-1, epsilon=_scalar(epsilon))


def _is_last_axis(axes: Any, x: Any) -> bool:
    sizes = _sizes(x)
    return sizes is not None and _scalar(axes) in (-1, len(sizes) - 1)


NORMALIZATIONS = pattern.RewriteRuleSet(
    [Normalization.rule(form) for form in ("divided", "scaled last", "scaled first")], commute=True
).rules


class NormalizationBias(pattern.RewriteRuleClassBase):
    """A shift after a normalization is its third input."""

    def pattern(self, op: Any, x: Any, scale: Any, bias: Any) -> Any:
        return op.Add(op.LayerNormalization(x, scale, _outputs=["normalized"]), bias)

    def check(self, context: Any, scale: Any, bias: Any, **_: Any) -> bool:
        return _sizes(bias) is not None and _sizes(bias) == _sizes(scale)

    def rewrite(self, op: Any, x: Any, scale: Any, bias: Any, normalized: Any) -> Any:
        epsilon = normalized.producer().attributes["epsilon"].as_float()
        return op.LayerNormalization(x, scale, bias, axis=-1, epsilon=epsilon)


def _gelu_erfc(op: Any, x: Any, half: Any, one: Any, factor: Any) -> Any:
    """x / 2 * (1 - erf(-x / sqrt(2))), what TensorFlow computes."""
    return op.Mul(op.Mul(half, x), op.Sub(one, op.Erf(op.Mul(op.Neg(x), factor))))


def _gelu_erf(op: Any, x: Any, half: Any, one: Any, factor: Any) -> Any:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    return op.Mul(op.Mul(half, x), op.Add(one, op.Erf(op.Mul(x, factor))))


def _is_gelu(context: Any, half: Any, one: Any, factor: Any, **_: Any) -> bool:
    return _is_near(half, 0.5) and _is_near(one, 1.0) and _is_near(factor, math.sqrt(0.5))


def _gelu(op: Any, x: Any, **_: Any) -> Any:
    return op.Gelu(x)


GELUS = pattern.RewriteRuleSet(
    [pattern.RewriteRule(target, _gelu, _is_gelu) for target in (_gelu_erfc, _gelu_erf)],
    commute=True,
).rules
