"""8-bit weights: exact where they promise it, and outlying channels kept apart."""

import dataclasses
from pathlib import Path

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import onnx_ir as ir
import pytest

from kzoo_export.onnx import calibrate
from kzoo_export.onnx.inspect import inspect
from kzoo_export.onnx.passes import outliers
from kzoo_export.onnx.passes.int8 import (
    Quantize,
    ahead,
    at_run_time,
    exact_columns,
    quantize_products,
    store_weights,
    symmetric,
)
from kzoo_export.onnx.passes.weights import weights_by_name
from kzoo_export.onnx.quantize import quantize
from kzoo_export.outliers import outlying
from kzoo_export.recipes import RECIPES
from tests.kzoo_export.onnx.graphs import normal, ops, parse, run, save

pytestmark = pytest.mark.once

K, N = 64, 48
PRODUCT = f"g (float[1,10,{K}] x) => (float[1,10,{N}] y) {{ h = MatMul (x, w) y = Add (h, b) }}"

matrices = hypothesis.extra.numpy.arrays(
    np.float32,
    hypothesis.extra.numpy.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=hypothesis.strategies.floats(-1e3, 1e3, width=32),
)


def quantize_weights(
    model: ir.Model, channels: dict[str, np.ndarray] | None = None, quantize: Quantize = at_run_time
) -> None:
    """Quantize all that can be."""
    if channels is None:
        channels = calibrate.measure_channels(model, calibrate.random_samples(model))
    weights = weights_by_name(model.graph)
    names = {name for name, weight in weights.items() if weight.operation != "other"}
    quantize_products(model, channels, names, quantize)
    store_weights(model, names)


@hypothesis.given(matrices)
def test_neighboring_products_fit_16_bits(matrix: np.ndarray) -> None:
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


@pytest.mark.parametrize(
    ("quantize", "op"), [(at_run_time, "MatMulInteger"), (ahead, "QuantizeLinear")]
)
def test_outliers_are_smoothed(quantize: Quantize, op: str, tmp_path: Path) -> None:
    x, w, b = normal(1, 10, K), normal(K, N, seed=1), normal(N, seed=2)
    x[..., [5, 40]] *= 50.0
    # As in trained models, where channels that are large have small weights.
    w[[5, 40]] /= 50.0
    channels = calibrate.measure_channels(parse(PRODUCT, w=w, b=b), {"x": x})
    np.testing.assert_array_equal(channels["x"].T, [x.min((0, 1)), x.max((0, 1))])
    assert list(outlying(outliers.magnitudes_of(channels["x"]))) == [5, 40]
    even = {"x": np.tile(np.array([[x.min(), x.max()]]), (K, 1))}
    smooth, rough = parse(PRODUCT, w=w, b=b), parse(PRODUCT, w=w, b=b)
    quantize_weights(smooth, channels, quantize)
    quantize_weights(rough, even, quantize)
    # 8 bits leave about half a percent of noise in a product; a range 50 times as wide, far more.
    assert error_of(smooth, tmp_path, x, x @ w + b) < 0.02
    assert error_of(rough, tmp_path, x, x @ w + b) > 0.1
    assert ops(smooth).count(op) == ops(rough).count(op) == 1


def test_numbers_beyond_the_samples_are_clipped(tmp_path: Path) -> None:
    x, w, b = normal(1, 10, K), normal(K, N, seed=1), normal(N, seed=2)
    model = parse(PRODUCT, w=w, b=b)
    quantize_weights(model, calibrate.measure_channels(model, {"x": x.clip(-0.5, 1.0)}), ahead)
    assert error_of(model, tmp_path, x, x.clip(-0.5, 1.0) @ w + b) < 0.02
    assert error_of(model, tmp_path, x, x @ w + b) > 0.1


def test_constant_activations_have_a_scale(tmp_path: Path) -> None:
    w, b, x = normal(K, N, seed=1), normal(N, seed=2), np.zeros((1, 10, K), np.float32)
    model = parse(PRODUCT, w=w, b=b)
    quantize_weights(model, calibrate.measure_channels(model, {"x": x}), ahead)
    np.testing.assert_array_equal(run(model, tmp_path, x=x), np.broadcast_to(b, (1, 10, N)))


@pytest.mark.parametrize(("bound", "kept"), [(1.0, 0), (0.0, 2), (0.004, 1)])
def test_products_that_lose_too_much_keep_float_activations(
    bound: float, kept: int, tmp_path: Path
) -> None:
    text = f"""g (float[1,{K}] x, float[1,1] size) => (float[1,{K}] y) {{
        h = MatMul (x, w0) a = Mul (h, size) s = MatMul (a, w1) y = Div (s, size)
    }}"""
    # Large samples leave a step or two of 256 to small ones in the second product.
    size = np.array([[1.0], [50.0]] * 16, np.float32)
    w0, w1 = (normal(K, K, seed=seed) for seed in (1, 2))
    source = save(parse(text, w0=w0, w1=w1), tmp_path)
    recipe = dataclasses.replace(RECIPES["static_int8"], max_loss=bound)
    target = tmp_path / "target.onnx"
    quantize(source, target, recipe, {"x": normal(32, K, seed=3), "size": size})
    products = inspect(target).matmuls
    assert products.get("int8 x float32", 0) == kept
    assert sum(products.values()) == 2


@pytest.mark.parametrize("activation", ["Gelu", "Relu", "Tanh"])
@pytest.mark.parametrize("into", ["t = Add (s, c) y = Neg (t)", "t = Add (s, c) y = Sum (t, x)"])
def test_outlying_units_become_a_layer_of_their_own(
    activation: str, into: str, tmp_path: Path
) -> None:
    text = f"""<ir_version: 9, opset_import: ["" : 20]>
    g (float[1,10,{K}] x) => (float[1,10,{K}] y) {{
        h = MatMul (x, w) i = Add (h, b) a = {activation} (i) s = MatMul (a, v) {into}
    }}"""
    x, constants = normal(1, 10, K), {"w": normal(K, N, seed=1), "v": normal(N, K, seed=2)}
    constants |= {"b": normal(N, seed=3), "c": normal(K, seed=4)}
    constants["w"][:, [3, 9]] *= 50.0
    # As in trained models, where units that are large have small weights.
    constants["v"][[3, 9]] /= 50.0
    original = parse(text, **constants)
    expected = run(original, tmp_path, x=x)
    channels = calibrate.measure_channels(original, {"x": x})
    split = original.clone()
    names, left = outliers.split_units(split.graph, channels, {"w", "v"})
    others = set() if activation == "Tanh" else {"w_others", "v_others"}
    assert names == {"w", "v"} | others
    # Tanh bounds its units: none is an outlier.
    assert ops(split).count("MatMul") == (2 if activation == "Tanh" else 4)
    assert list(np.flatnonzero(~left["a"].any(axis=1))) == ([] if activation == "Tanh" else [3, 9])
    # Not quantized yet: only the order of sums is another one.
    np.testing.assert_allclose(run(split, tmp_path, x=x), expected, rtol=1e-4, atol=1e-3)
    quantize_weights(original, channels)
    assert error_of(original, tmp_path, x, expected) < 0.03
    assert ops(original).count("MatMulInteger") == 2


def test_tables_keep_a_scale_for_each_row(tmp_path: Path) -> None:
    text = "g (int32[1,7] x) => (float[1,7,32] y) { y = Gather <axis: int = 0> (table, x) }"
    table = normal(50, 32) * np.logspace(-3, 3, 50, dtype=np.float32)[:, None]
    model = parse(text, table=table)
    quantize_weights(model)
    x = np.arange(0, 49, 7, dtype=np.int32)[None]
    # Half a step of 1/127 of the largest number of the row, whatever the size of other rows.
    bound = 0.51 / 127 * np.abs(table[x]).max(-1, keepdims=True)
    assert (np.abs(run(model, tmp_path, x=x) - table[x]) <= bound).all()


def test_convolutions_store_8_bits(tmp_path: Path) -> None:
    text = "g (float[1,3,9,9] x) => (float[1,64,7,7] y) { y = Conv (x, w) }"
    x, w = normal(1, 3, 9, 9), normal(64, 3, 3, 3, seed=1)
    expected = run(parse(text, w=w), tmp_path, x=x)
    model = parse(text, w=w)
    quantize_weights(model)
    assert ops(model) == ["Cast", "Conv", "Mul"]
    assert 0 < error_of(model, tmp_path, x, expected) < 0.01


def test_widened_matrices_are_multiplied_in_float32(tmp_path: Path) -> None:
    """With a scale for each column, and without 8-bit activations of the runtime's own accord."""
    text = "g (float[1,64,256] x) => (float[1,64,96] y) { y = MatMul (x, w) }"
    w = normal(256, 96) * np.logspace(-1, 1, 256, dtype=np.float32)[:, None]
    x = normal(1, 64, 256, seed=1)
    elements, scales = symmetric(w, axis=1)
    model = parse(text, w=w)
    store_weights(model, {"w"})
    np.testing.assert_allclose(run(model, tmp_path, x=x), x @ (elements * scales), atol=1e-3)


def test_small_matrices_stay() -> None:
    text = "g (float[1,4] x) => (float[1,4] y) { y = MatMul (x, w) }"
    model = parse(text, w=normal(4, 4))
    quantize_weights(model)
    assert ops(model) == ["MatMul"]


def test_tied_tables_are_multiplied_as_their_transpose(tmp_path: Path) -> None:
    text = """g (float[1,2,32] x) => (float[1,2,50] y) {
        turned = Transpose <perm: ints = [1, 0]> (table) y = MatMul (x, turned)
    }"""
    table, x = normal(50, 32), normal(1, 2, 32, seed=1)
    model = parse(text, table=table)
    quantize_weights(model)
    assert "MatMulInteger" in ops(model)
    assert error_of(model, tmp_path, x, x @ table.T) < 0.02


def test_random_samples_fit_the_inputs() -> None:
    text = """g (int32[2,7] ids, float[2,7,32] x) => (float[2,7,32] y) {
        rows = Gather <axis: int = 0> (table, ids) y = Add (rows, x)
    }"""
    samples = calibrate.random_samples(parse(text, table=normal(50, 32)))
    assert samples["ids"].dtype == np.int32
    assert 0 <= samples["ids"].min() <= samples["ids"].max() < 50
    assert samples["x"].shape == (len(samples["ids"]), 7, 32)


def test_unknown_weights_are_refused(tmp_path: Path) -> None:
    lowered = save(parse(PRODUCT, w=normal(K, N), b=normal(N)), tmp_path)
    recipe = dataclasses.replace(RECIPES["float16"], name="int2", weights="int2")
    with pytest.raises(ValueError, match="`recipe` must have weights and activations that ONNX"):
        quantize(lowered, tmp_path / "target.onnx", recipe)
    assert not (tmp_path / "target.onnx").exists()
