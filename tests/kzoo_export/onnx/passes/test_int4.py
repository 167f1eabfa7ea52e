"""Tables and products in 4 bits: what is stored, and that the runtime computes with it."""

from pathlib import Path

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import onnx_ir as ir
import pytest

from kzoo_export import RECIPES, RecipeError, inspect
from kzoo_export.artifact.files import run_batches
from kzoo_export.gptq import Choice, round_to_nearest
from kzoo_export.onnx import quantize, runtime
from kzoo_export.onnx.calibrate import measure_moments
from kzoo_export.onnx.passes import int4
from kzoo_export.onnx.passes.int4 import blocks, store_tables
from kzoo_export.recipe import BLOCK
from tests.kzoo_export.onnx.graphs import normal, ops, parse, run, save

pytestmark = pytest.mark.once

ROWS, WIDTH = 50, 3 * BLOCK


def widened(table: np.ndarray) -> np.ndarray:
    """What a lookup of each row must give."""
    elements, scales = blocks(table)
    return elements.astype(np.float32) * np.repeat(scales.astype(np.float32), BLOCK, axis=1)


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        np.float32,
        (2, 2 * BLOCK),
        elements=hypothesis.strategies.floats(-10, 10, width=32),
    )
)
def test_no_block_loses_more_than_with_its_whole_range(table: np.ndarray) -> None:
    cut = table.reshape(2, -1, BLOCK)
    # float16 has no scales below 6e-8: such blocks are zero.
    scales = (np.abs(cut).max(-1, keepdims=True) / 7).astype(np.float16).astype(np.float32)
    plain = np.where(scales > 0, np.rint(cut / np.where(scales > 0, scales, 1)).clip(-7, 7), 0)
    loss = np.square(cut - widened(table).reshape(cut.shape)).sum(-1)
    assert (loss <= np.square(cut - plain * scales).sum(-1) * 1.0001 + 1e-12).all()


def test_normal_numbers_lose_a_tenth() -> None:
    table = normal(ROWS, WIDTH)
    error = np.linalg.norm(widened(table) - table) / np.linalg.norm(table)
    # One range for all normal numbers loses at least 0.01154 of the variance, even with 16 even
    # levels (Max, Quantizing for Minimum Distortion, 1960, table II); one for each block does
    # better with 15.
    assert 0.07 < error < 0.01154**0.5


@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_runtime_looks_up_what_is_stored(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    sizes = ",".join(map(str, shape))
    text = f"g ({dtype}[{sizes}] ids) => (float[{sizes},{WIDTH}] y) {{ y = Gather (table, ids) }}"
    table = normal(ROWS, WIDTH)
    model = parse(text, table=table)
    store_tables(model, {"table"})
    assert ops(model) == ["Cast", "GatherBlockQuantized"]
    ids = np.random.default_rng(0).integers(-ROWS, ROWS, shape).astype(dtype)
    # The runtime gives products in the dtype of the scales.
    expected = widened(table)[ids].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(model, tmp_path, ids=ids), expected)


# A product with a bias, and one with a weight that is transposed.
PRODUCTS = f"""g (float[1,10,{WIDTH}] x) => (float[1,10,{ROWS}] y, float[1,10,{ROWS}] z) {{
    h = MatMul (x, w) y = Add (h, b) t = Tanh (x) s = Transpose <perm = [1, 0]> (v)
    z = MatMul (t, s) }}"""


@pytest.fixture
def products() -> tuple[ir.Model, dict[str, np.ndarray]]:
    """Two products of 4 bits, and rows that enter them, with a mean."""
    constants = {"w": normal(WIDTH, ROWS), "v": normal(ROWS, WIDTH, seed=1), "b": normal(ROWS)}
    mix = normal(20, WIDTH, seed=2)
    rows = {"x": (normal(64, 10, 20, seed=3) @ mix + 2).astype("float32")}
    return parse(PRODUCTS, **constants), rows


def outputs(model: ir.Model, folder: Path, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run_batches(runtime.load(save(model, folder), threads=1), rows)


def quantized(model: ir.Model, folder: Path, rows: dict[str, np.ndarray], recipe: str) -> ir.Model:
    source, made = save(model, folder), folder / "made.onnx"
    quantize.quantize(source, made, RECIPES[recipe], rows)
    return ir.load(made)


def test_products_are_rounded_for_their_inputs(
    products: tuple[ir.Model, dict[str, np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, rows = products
    unseen = {"x": rows["x"][:, ::-1] + np.float32(0.01)}
    expected = outputs(model, tmp_path, unseen)

    def errors() -> dict[str, float]:
        made = quantized(model, tmp_path, rows, "weight_int4")
        inspection = inspect(tmp_path / "made.onnx")
        assert inspection.matmuls == {"int4 x float32": 2}
        assert inspection.weight_bytes["int4"] == 2 * ROWS * WIDTH // 2
        found = outputs(made, tmp_path, unseen)
        return {
            name: float(np.linalg.norm(found[name] - array) / np.linalg.norm(array))
            for name, array in expected.items()
        }

    refined = errors()
    monkeypatch.setattr(
        int4, "round_layer", lambda matrix, *_: Choice(round_to_nearest(matrix, BLOCK))
    )
    nearest = errors()
    # Eight percent of the weights is lost; what enters lies in 20 of 96 directions.
    for name in expected:
        assert refined[name] < 0.75 * nearest[name]
        assert nearest[name] < 0.15


def test_stored_numbers_are_those_that_were_rounded(
    products: tuple[ir.Model, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    model, rows = products
    found = int4.products_of(model, {"w", "v"})
    names = {str(product.activation.name) for group in found.values() for product in group}
    choices = int4.round_products(found, measure_moments(model, rows, names))
    x = rows["x"].astype(np.float64)
    numbers = choices["w"].numbers("w")
    expected = {
        "y": x @ numbers["w"].T + numbers["b"],
        "z": np.tanh(x) @ choices["v"].rounded.values.T,
    }
    int4.store_products(model, choices)
    for name, array in outputs(model, tmp_path, rows).items():
        # Activations are rounded to 8 bits as well.
        assert np.linalg.norm(array - expected[name]) < 0.01 * np.linalg.norm(array)


def test_layers_that_lose_most_get_8_bits(tmp_path: Path) -> None:
    text = f"""g (float[1,10,{WIDTH}] x) => (float[1,10,{WIDTH}] y) {{
        a = MatMul (x, w) b = MatMul (x, v) c = Mul (b, small) y = Add (a, c) }}"""
    weights = {"w": normal(WIDTH, WIDTH), "v": normal(WIDTH, WIDTH, seed=1)}
    # A file that has no operation of the runtime's own so far.
    model = parse(
        f'<ir_version: 9, opset_import: ["" : 18]>{text}',
        **weights,
        small=np.array([0.01], "float32"),
    )
    made = quantized(model, tmp_path, {"x": normal(16, 10, WIDTH, seed=2)}, "weight_int4_mixed")
    assert "w_int8" in made.graph.initializers
    assert "v_int4" in made.graph.initializers


@pytest.mark.parametrize(
    "nodes",
    [
        'y = Einsum <equation = "abk,kn->abn"> (x, w)',
        'a = Einsum <equation = "abk,kn->abn"> (x, w) y = MatMul (a, w)',
        "a = MatMul (x, w) t = Transpose <perm = [1, 0]> (w) y = MatMul (a, t)",
    ],
)
def test_products_without_a_kernel_are_named(nodes: str, tmp_path: Path) -> None:
    text = f"g (float[1,10,{WIDTH}] x) => (float[1,10,{WIDTH}] y) {{ {nodes} }}"
    model = parse(text, w=normal(WIDTH, WIDTH))
    with pytest.raises(RecipeError, match=r"Only a product with a matrix .* and w is multiplied"):
        quantized(model, tmp_path, {"x": normal(16, 10, WIDTH)}, "weight_int4")


def test_rows_of_products_are_what_a_unit_reads(tmp_path: Path) -> None:
    text = f"g (float[1,10,{ROWS}] x) => (float[1,10,{WIDTH}] y) {{ y = MatMul (x, w) }}"
    model = parse(text, w=normal(ROWS, WIDTH))
    with pytest.raises(RecipeError, match=rf"stores blocks of 32 .* w has rows of {ROWS}"):
        quantized(model, tmp_path, {"x": normal(16, 10, ROWS)}, "weight_int4")


def test_standard_operations_have_no_4_bits() -> None:
    with pytest.raises(ValueError, match=r"that portable ONNX files can have.*int4, dynamic_int8"):
        quantize.check(RECIPES["weight_int4"], portable=True)
