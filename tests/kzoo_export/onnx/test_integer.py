"""8-bit weights: exact where they promise it, and outlying channels kept apart."""

from pathlib import Path

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import onnx_ir as ir
import pytest

from kzoo_export.onnx import outliers
from kzoo_export.onnx.integer import exact_columns, quantize_weights, symmetric
from kzoo_export.recipe import RECIPES
from kzoo_export.spec import ExportError, Spec
from tests.kzoo_export.onnx.graphs import normal, ops, parse, run, save

pytestmark = pytest.mark.once

K, N = 64, 48
PRODUCT = f"g (float[1,10,{K}] x) => (float[1,10,{N}] y) {{ h = MatMul (x, w) y = Add (h, b) }}"

matrices = hypothesis.extra.numpy.arrays(
    np.float32,
    hypothesis.extra.numpy.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=hypothesis.strategies.floats(-1e3, 1e3, width=32),
)


@hypothesis.given(matrices)
def test_neighbouring_products_fit_16_bits(matrix: np.ndarray) -> None:
    elements, scales = exact_columns(matrix)
    assert elements.shape == matrix.shape
    wide = np.concatenate([elements, np.zeros_like(elements[: len(elements) % 2])]).astype(int)
    pairs = wide.reshape(-1, 2, matrix.shape[1])
    assert 255 * pairs.clip(min=0).sum(1).max() <= 2**15 - 1
    assert 255 * pairs.clip(max=0).sum(1).min() >= -(2**15)
    # Half a step, and the rounding of the division.
    assert (np.abs(elements * scales - matrix) <= 0.5001 * scales).all()


@hypothesis.given(matrices, hypothesis.strategies.sampled_from([0, 1]))
def test_symmetric_rounds_to_the_nearest(matrix: np.ndarray, axis: int) -> None:
    elements, scales = symmetric(matrix, axis)
    assert scales.shape == tuple(n if i == axis else 1 for i, n in enumerate(matrix.shape))
    assert (np.abs(elements * scales - matrix) <= 0.5001 * scales).all()


def error_of(model: ir.Model, folder: Path, x: np.ndarray, expected: np.ndarray) -> float:
    difference = run(model, folder, x=x) - expected
    return float(np.sqrt(np.square(difference).mean() / np.square(expected).mean()))


def test_outliers_are_found_and_kept_apart(tmp_path: Path) -> None:
    x, w, b = normal(1, 10, K), normal(K, N, seed=1), normal(N, seed=2)
    x[..., [5, 40]] *= 50.0
    expected = x @ w + b
    found = outliers.find(parse(PRODUCT, w=w, b=b), {"x": x})
    assert {name: list(channels) for name, channels in found.items()} == {"x": [5, 40]}
    with_outliers, without = parse(PRODUCT, w=w, b=b), parse(PRODUCT, w=w, b=b)
    quantize_weights(with_outliers, found)
    quantize_weights(without, {})
    # The two large channels carry nearly all of the result, so compare what is left of it.
    small = np.delete(np.arange(K), [5, 40])
    scale = np.linalg.norm(x[..., small] @ w[small]) / np.linalg.norm(expected)
    apart = error_of(with_outliers, tmp_path, x, expected) / scale
    together = error_of(without, tmp_path, x, expected) / scale
    # 8 bits leave about half a percent of noise in a product; a range 50 times as wide, far more.
    assert apart < 0.02
    assert together > 5 * apart
    assert ops(with_outliers).count("MatMulInteger") == 1
    assert ops(with_outliers).count("MatMul") == 1


def test_even_channels_have_no_outliers() -> None:
    assert outliers.find(parse(PRODUCT, w=normal(K, N), b=normal(N)), {"x": normal(1, 10, K)}) == {}


def test_tables_keep_a_scale_for_each_row(tmp_path: Path) -> None:
    text = "g (int32[1,7] x) => (float[1,7,32] y) { y = Gather <axis: int = 0> (table, x) }"
    table = normal(50, 32) * np.logspace(-3, 3, 50, dtype=np.float32)[:, None]
    model = parse(text, table=table)
    quantize_weights(model, {})
    x = np.arange(0, 49, 7, dtype=np.int32)[None]
    # Half a step of 1/127 of the largest number of the row, whatever the size of other rows.
    bound = 0.51 / 127 * np.abs(table[x]).max(-1, keepdims=True)
    assert (np.abs(run(model, tmp_path, x=x) - table[x]) <= bound).all()


def test_convolutions_store_8_bits(tmp_path: Path) -> None:
    text = "g (float[1,3,9,9] x) => (float[1,64,7,7] y) { y = Conv (x, w) }"
    x, w = normal(1, 3, 9, 9), normal(64, 3, 3, 3, seed=1)
    expected = run(parse(text, w=w), tmp_path, x=x)
    model = parse(text, w=w)
    quantize_weights(model, {})
    assert ops(model) == ["Conv", "DequantizeLinear"]
    assert 0 < error_of(model, tmp_path, x, expected) < 0.01


def test_small_matrices_stay() -> None:
    text = "g (float[1,4] x) => (float[1,4] y) { y = MatMul (x, w) }"
    model = parse(text, w=normal(4, 4))
    quantize_weights(model, {})
    assert ops(model) == ["MatMul"]


def test_tied_tables_are_multiplied_as_their_transpose(tmp_path: Path) -> None:
    text = """g (float[1,2,32] x) => (float[1,2,50] y) {
        turned = Transpose <perm: ints = [1, 0]> (table) y = MatMul (x, turned)
    }"""
    table, x = normal(50, 32), normal(1, 2, 32, seed=1)
    model = parse(text, table=table)
    quantize_weights(model, {})
    assert "MatMulInteger" in ops(model)
    assert error_of(model, tmp_path, x, x @ table.T) < 0.02


def test_random_samples_fit_the_inputs() -> None:
    text = """g (int32[2,7] ids, float[2,7,32] x) => (float[2,7,32] y) {
        rows = Gather <axis: int = 0> (table, ids) y = Add (rows, x)
    }"""
    samples = outliers.random_samples(parse(text, table=normal(50, 32)))
    assert samples["ids"].dtype == np.int32
    assert 0 <= samples["ids"].min() <= samples["ids"].max() < 50
    assert samples["x"].shape == (len(samples["ids"]), 7, 32)


def test_unknown_weights_are_refused(tmp_path: Path) -> None:
    import dataclasses

    from kzoo_export.onnx.quantize import quantize

    lowered = save(parse(PRODUCT, w=normal(K, N), b=normal(N)), tmp_path)
    recipe = dataclasses.replace(RECIPES["float16"], name="int2", weights="int2")
    spec = Spec("onnx", "torch", (), ())
    with pytest.raises(ExportError, match="no ONNX conversion for the recipe 'int2'"):
        quantize(lowered, tmp_path / "target.onnx", spec, recipe)
    assert not (tmp_path / "target.onnx").exists()
