"""What the traced forms of Keras layers are fused to, and what must not be."""

from pathlib import Path

import numpy as np
import pytest

from kzoo_export.onnx.passes.fuse import fuse
from tests.kzoo_export.onnx.graphs import normal, ops, parse, run

pytestmark = pytest.mark.once

WIDTH = 8
ROWS = {"scale": normal(WIDTH, seed=1), "bias": normal(WIDTH, seed=2)}
NUMBERS: dict[str, np.ndarray] = {
    "axes": np.array([-1], np.int64),
    "epsilon": np.array(1e-12, np.float32),
    **ROWS,
}
HEAD = "g (float[2,3,8] x) => (float[2,3,8] y) {"
MOMENTS = """
    mean = ReduceMean (x, axes)
    centered = Sub (x, mean)
    square = Mul (centered, centered)
    variance = ReduceMean (square, axes)
    shifted = Add (variance, epsilon)
    deviation = Sqrt (shifted)
"""
NORMALIZATIONS = {
    "divided": "n = Div (centered, deviation) s = Mul (n, scale) y = Add (s, bias)",
    "scaled last": "i = Reciprocal (deviation) n = Mul (centered, i) s = Mul (n, scale)"
    " y = Add (s, bias)",
    "scaled first": "i = Reciprocal (deviation) f = Mul (i, scale) s = Mul (centered, f)"
    " y = Add (bias, s)",
    "folded": "i = Reciprocal (deviation) f = Mul (i, scale) a = Mul (x, f) m = Neg (mean)"
    " b = Mul (m, f) c = Add (b, bias) y = Add (a, c)",
}


def layer_norm(x: np.ndarray, epsilon: float = 1e-12) -> np.ndarray:
    centered = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt(np.square(centered).mean(-1, keepdims=True) + epsilon)
    return centered / deviation * ROWS["scale"] + ROWS["bias"]


@pytest.mark.parametrize("form", NORMALIZATIONS)
def test_normalizations_become_one_operation(form: str, tmp_path: Path) -> None:
    model = fuse(parse(f"{HEAD}{MOMENTS}{NORMALIZATIONS[form]}\n}}", **NUMBERS), portable=True)
    assert ops(model) == ["LayerNormalization"]
    x = normal(2, 3, WIDTH)
    # Sums over eight float32 numbers of order one.
    np.testing.assert_allclose(run(model, tmp_path, x=x), layer_norm(x), atol=1e-5)


def test_epsilon_survives(tmp_path: Path) -> None:
    """1e-12 is no zero: without it a row of equal numbers is divided by zero."""
    text = f"{HEAD}{MOMENTS}{NORMALIZATIONS['scaled last']}\n}}"
    constant = np.ones((2, 3, WIDTH), np.float32)
    for portable in (True, False):
        result = run(fuse(parse(text, **NUMBERS), portable), tmp_path, x=constant)
        np.testing.assert_allclose(result, np.broadcast_to(ROWS["bias"], result.shape), atol=1e-6)


def test_moments_over_another_axis_stay(tmp_path: Path) -> None:
    text = f"{HEAD}{MOMENTS}{NORMALIZATIONS['scaled last']}\n}}"
    model = fuse(parse(text, **{**NUMBERS, "axes": np.array([1], np.int64)}), portable=True)
    assert "LayerNormalization" not in ops(model)
    x = normal(2, 3, WIDTH)
    centered = x - x.mean(1, keepdims=True)
    expected = centered / np.sqrt(np.square(centered).mean(1, keepdims=True)) * ROWS["scale"]
    np.testing.assert_allclose(run(model, tmp_path, x=x), expected + ROWS["bias"], atol=1e-5)


GELUS = {
    "erfc": (
        "h = Mul (half, x) n = Neg (x) a = Mul (n, root) e = Erf (a) o = Sub (one, e)",
        "none",
    ),
    "erf": ("h = Mul (x, half) a = Mul (x, root) e = Erf (a) o = Add (one, e)", "none"),
    "tanh": (
        "h = Mul (half, x) p = Pow (x, three) q = Mul (cubic, p) i = Add (x, q)"
        " a = Mul (factor, i) e = Tanh (a) o = Add (one, e)",
        "tanh",
    ),
}
GELU_NUMBERS: dict[str, np.ndarray] = {
    name: np.array(value, np.float32)
    for name, value in {
        "half": 0.5,
        "one": 1.0,
        "three": 3.0,
        "root": 0.5**0.5,
        "cubic": 0.044715,
        "factor": (2 / np.pi) ** 0.5,
    }.items()
}


@pytest.mark.parametrize("form", GELUS)
def test_gelus_become_one_operation(form: str, tmp_path: Path) -> None:
    steps, approximate = GELUS[form]
    original = parse(f"{HEAD} {steps} y = Mul (h, o) }}", **GELU_NUMBERS)
    x = normal(2, 3, WIDTH)
    expected = run(original, tmp_path, x=x)
    model = fuse(original, portable=True)
    assert ops(model) == ["Gelu"]
    (node,) = model.graph
    assert node.attributes.get_string("approximate", "none") == approximate
    # The runtime's erf and tanh are rational approximations, a few 1e-7 from NumPy's.
    np.testing.assert_allclose(run(model, tmp_path, x=x), expected, atol=1e-5)


def test_almost_a_gelu_stays() -> None:
    steps, _ = GELUS["erf"]
    numbers = {**GELU_NUMBERS, "root": np.array(0.7, np.float32)}
    model = fuse(parse(f"{HEAD} {steps} y = Mul (h, o) }}", **numbers), portable=True)
    assert "Gelu" not in ops(model)


def test_products_need_no_flattening(tmp_path: Path) -> None:
    text = """g (float[2,3,8] x) => (float[2,3,4] y) {
        flat = Reshape (x, rows) product = MatMul (flat, matrix) y = Reshape (product, back)
    }"""
    matrix = normal(WIDTH, 4, seed=3)
    shapes = {"rows": np.array([6, 8], np.int64), "back": np.array([2, 3, 4], np.int64)}
    model = fuse(parse(text, matrix=matrix, **shapes), portable=True)
    assert ops(model) == ["MatMul"]
    x = normal(2, 3, WIDTH)
    np.testing.assert_allclose(run(model, tmp_path, x=x), x @ matrix, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "weight_shape"), [("abc,cde->abde", (8, 2, 5)), ("abc,bcd->ad", (3, 8, 5))]
)
def test_contractions_become_products(
    equation: str, weight_shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Keras' EinsumDense: only products with a matrix can be quantized."""
    weight, x = normal(*weight_shape, seed=4), normal(2, 3, WIDTH)
    expected = np.einsum(equation, x, weight)
    shape = ",".join(map(str, expected.shape))
    text = f"""g (float[2,3,8] x) => (float[{shape}] y) {{
        y = Einsum <equation: string = "{equation}"> (x, weight)
    }}"""
    model = fuse(parse(text, weight=weight), portable=True)
    assert "Einsum" not in ops(model)
    assert "MatMul" in ops(model)
    np.testing.assert_allclose(run(model, tmp_path, x=x), expected, atol=1e-5)


def test_other_contractions_stay() -> None:
    text = """g (float[2,3,8] x) => (float[2,8] y) {
        y = Einsum <equation: string = "abc,bc->ac"> (x, weight)
    }"""
    assert ops(fuse(parse(text, weight=normal(3, 8)), portable=True)) == ["Einsum"]


def test_negative_indices_need_no_help(tmp_path: Path) -> None:
    text = """g (int32[2,3] x) => (float[2,3,8] y) {
        negative = Less (x, zero) wrapped = Add (x, size) index = Where (negative, wrapped, x)
        y = Gather <axis: int = 0> (table, index)
    }"""
    table = normal(5, WIDTH)
    numbers = {"zero": np.array(0, np.int32), "size": np.array(5, np.int32)}
    model = fuse(parse(text, table=table, **numbers), portable=True)
    assert ops(model) == ["Gather"]
    x = np.array([[0, 4, -1], [-5, 2, 1]], np.int32)
    np.testing.assert_array_equal(run(model, tmp_path, x=x), table[x])
