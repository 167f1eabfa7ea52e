"""Dense layers over several axes that other tools flatten: found as if they had not been."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from kzoo_export.onnx import calibrate
from kzoo_export.onnx.passes.flatten import unflatten
from kzoo_export.onnx.passes.outliers import split_units
from tests.kzoo_export.onnx.graphs import normal, ops, parse, run

pytestmark = pytest.mark.once

K, N = 64, 48


def two_layers(transposed: int, last: str = "1, 10") -> ir.Model:
    """As ONNX Runtime's optimizer writes them, with two outlying units between them."""
    shape = f"float[{last}, {K}]"
    text = f"""g (float[1, 10, {K}] x) => ({shape} y)
    <int64[2] rows = {{-1, {K}}}, int64[2] units = {{-1, {N}}}, int64[3] wide = {{1, 10, {N}}},
     int64[{last.count(",") + 2}] narrow = {{{last}, {K}}}, float[1, 10, {N}] a> {{
        f = Reshape (x, rows) g1 = Gemm <transB: int = {transposed}> (f, w, b)
        h = Reshape (g1, wide) a = com.microsoft.Gelu (h)
        u = Reshape (a, units) g2 = Gemm <transB: int = {transposed}> (u, v, c)
        z = Reshape (g2, narrow) y = Neg (z)
    }}"""
    w, v = normal(K, N, seed=1), normal(N, K, seed=2)
    w[:, [3, 9]] *= 50.0
    v[[3, 9]] /= 50.0
    turned = (w.T.copy(), v.T.copy()) if transposed else (w, v)
    constants = dict(zip("wv", turned, strict=True))
    return parse(text, **constants, b=normal(N, seed=3), c=normal(K, seed=4))


@pytest.mark.parametrize("transposed", [0, 1])
def test_layers_multiply_as_they_are(transposed: int, tmp_path: Path) -> None:
    model, x = two_layers(transposed), normal(1, 10, K)
    expected = run(model, tmp_path, x=x)
    unflatten(model)
    assert ops(model) == sorted(
        ["MatMul", "Add", "Gelu", "MatMul", "Add", "Neg"] + 2 * transposed * ["Transpose"]
    )
    np.testing.assert_allclose(run(model, tmp_path, x=x), expected, rtol=1e-5, atol=1e-4)


def test_outlying_units_are_found(tmp_path: Path) -> None:
    model, x = two_layers(0), normal(1, 10, K)
    expected = run(model, tmp_path, x=x)

    unflatten(model)
    channels = calibrate.measure_channels(model, {"x": x})
    _, left = split_units(model.graph, channels, {"w", "v"})
    assert np.flatnonzero(~left["a"].any(axis=1)).tolist() == [3, 9]
    np.testing.assert_allclose(run(model, tmp_path, x=x), expected, rtol=1e-4, atol=1e-3)


def test_other_shapes_stay(tmp_path: Path) -> None:
    # The second layer makes rows of another batch.
    model, x = two_layers(0, "2, 5"), normal(1, 10, K)
    expected = run(model, tmp_path, x=x)
    unflatten(model)
    assert ops(model).count("Gemm") == 1
    np.testing.assert_allclose(run(model, tmp_path, x=x), expected, rtol=1e-5, atol=1e-4)
