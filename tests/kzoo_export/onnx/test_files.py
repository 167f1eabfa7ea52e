"""ONNX files of a BERT on both routes: what they are made of, and how they are read and run."""

from pathlib import Path

import keras
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from kzoo.models import BertBackbone, BertConfig
from kzoo_export import ExportError, Report, export_all, inspect
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.onnx.convert import write
from tests.kzoo_export.onnx.graphs import normal, parse, save

pytestmark = pytest.mark.once

LENGTH, VOCAB_SIZE, WIDTH, MLP = 12, 60, 32, 64
# As deep as MiniLM, so that nodes can be counted.
NUM_LAYERS = 6
RECIPES = ("float32", "float16", "dynamic_int8")
# (route, portable)
CELLS = {"torch": ("torch", False), "portable": ("torch", True), "tf2onnx": ("tf2onnx", False)}
NORMS, GELUS, PRODUCTS = 1 + 2 * NUM_LAYERS, NUM_LAYERS, 6 * NUM_LAYERS + 1

Files = dict[str, dict[str, Report]]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(7)
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        num_layers=NUM_LAYERS,
        num_heads=2,
        hidden_dim=WIDTH,
        mlp_dim=MLP,
        max_length=LENGTH,
        # Weights of a trained model's size: attention is far from even, errors are not hidden.
        init_std=0.2,
    )
    backbone = BertBackbone(config)
    # New biases are zero, which converters leave out.
    random = np.random.default_rng(0)
    backbone.set_weights(
        [w + 0.05 * random.standard_normal(w.shape) for w in backbone.get_weights()]
    )
    return backbone


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = np.arange(LENGTH) < random.integers(3, LENGTH + 1, 16)[:, None]
    ids = np.where(mask, random.integers(1, VOCAB_SIZE, mask.shape), 0).astype("int32")
    return {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": mask.astype("int32"),
    }


@pytest.fixture(scope="module")
def files(
    model: keras.Model, samples: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Files:
    """One child process for each cell; the pipeline has verified every file."""
    made = {}
    for cell, (route, portable) in CELLS.items():
        folder: Path = tmp_path_factory.mktemp(cell)
        targets = {folder / f"{recipe}.onnx": recipe for recipe in RECIPES}
        reports = export_all(
            model, targets, length=LENGTH, samples=samples, route=route, portable=portable
        )
        made[cell] = dict(zip(RECIPES, reports, strict=True))
    return made


@pytest.mark.parametrize("cell", ["torch", "tf2onnx"])
def test_attention_normalization_and_gelu_are_single_operations(files: Files, cell: str) -> None:
    report = files[cell]["float32"]
    found = report.inspection.ops
    assert report.route == cell
    assert found["com.microsoft.MultiHeadAttention"] == NUM_LAYERS
    assert found["LayerNormalization"] == NORMS
    assert found["com.microsoft.BiasGelu"] == GELUS
    assert not {"Softmax", "Erf", "Erfc", "ReduceMean", "Where", "Less"} & set(found)
    assert sum(found.values()) <= 110


@pytest.mark.parametrize("cell", CELLS)
def test_weights_have_the_paths_of_their_layers(
    files: Files, cell: str, model: keras.Model
) -> None:
    names = {tensor.name for tensor in onnx.load(files[cell]["float32"].path).graph.initializer}
    kernels = {w.path for w in model.weights if w.path.endswith("kernel") and len(w.shape) == 2}
    assert kernels
    assert kernels <= names


@pytest.mark.parametrize("recipe", RECIPES)
def test_portable_files_have_standard_operations_only(files: Files, recipe: str) -> None:
    inspection = files["portable"][recipe].inspection
    assert inspection.custom_ops == ()
    assert inspection.ops["LayerNormalization"] == NORMS
    # In 8 bits, outlying units may have a thin layer of their own beside each of the others.
    most = 2 * GELUS if recipe == "dynamic_int8" else GELUS
    assert GELUS <= inspection.ops["Gelu"] <= most
    assert inspection.ops["Softmax"] == NUM_LAYERS


@pytest.mark.parametrize("cell", CELLS)
def test_accuracy_of_every_recipe(files: Files, cell: str) -> None:
    for recipe, report in files[cell].items():
        for output in report.verification.outputs:
            # float32: the order of sums only. float16: 2^-12 a weight. Noise of 8 bits adds up
            # over six layers of random weights, which have no reason to be robust.
            bound = {"float32": 1e-7, "float16": 1e-5, "dynamic_int8": 1e-2}[recipe]
            assert 1 - output.cosine_min <= bound, (recipe, output)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_of_every_recipe(files: Files, cell: str) -> None:
    half = files[cell]["float16"].inspection
    full = files[cell]["float32"].inspection
    matrices = VOCAB_SIZE * WIDTH + NUM_LAYERS * (4 * WIDTH**2 + 2 * WIDTH * MLP) + WIDTH**2
    assert full.weight_bytes["float32"] >= 4 * matrices
    assert half.weight_bytes["float16"] == 2 * matrices
    eight = files[cell]["dynamic_int8"].inspection
    # The table of tokens included; segments and positions are too small.
    assert eight.weight_bytes["int8"] == matrices
    assert eight.matmuls["int8 x uint8"] == PRODUCTS
    assert eight.ops["MatMulInteger"] == PRODUCTS
    assert full.matmuls == {"float32": PRODUCTS + 2 * NUM_LAYERS}


@pytest.mark.parametrize("cell", CELLS)
def test_signature(files: Files, cell: str) -> None:
    for report in files[cell].values():
        inspection = inspect(report.path)
        assert inspection.static
        names = ["token_ids", "segment_ids", "padding_mask"]
        assert [entry.name for entry in inspection.inputs] == names
        assert {entry.dtype for entry in inspection.inputs} == {"int32"}
        assert {entry.shape for entry in inspection.inputs} == {(1, LENGTH)}
        outputs = [(entry.name, entry.shape, entry.dtype) for entry in inspection.outputs]
        assert outputs == [
            ("hidden", (1, LENGTH, WIDTH), "float32"),
            ("pooled", (1, WIDTH), "float32"),
        ]


def test_routes_agree(files: Files, samples: dict[str, np.ndarray]) -> None:
    outputs = [run_batches(load(files[cell]["float32"].path, threads=1), samples) for cell in CELLS]
    for name, expected in outputs[0].items():
        for other in outputs[1:]:
            # Six layers of float32 sums in another order, of hidden states of order one.
            np.testing.assert_allclose(other[name], expected, atol=2e-5)


def test_no_trace_of_the_machine_is_left(files: Files) -> None:
    """Tracers note the source files of every operation."""
    for reports in files.values():
        content = Path(reports["float32"].path).read_bytes()
        assert b".py" not in content
        assert b"site-packages" not in content


@pytest.mark.parametrize("content", [b"not a model at all", b"\x08\x08\xff\xff\xff"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ValueError, match="`path` must be an ONNX file"):
        inspect(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="`path` must be a file ONNX Runtime can load"):
        load(tmp_path / "a.onnx")


def test_open_axes_are_noticed(tmp_path: Path) -> None:
    model = parse("g (float[N,4] x) => (float[N,4] y) { y = Relu (x) }")
    inspection = inspect(save(model, tmp_path))
    assert not inspection.static
    assert inspection.inputs[0].shape == (-1, 4)


def test_products_are_counted_by_what_is_stored(tmp_path: Path) -> None:
    text = """g (float[2,4] x) => (float[2,4] y) {
        w = Cast <to: int = 1> (half) p = MatMul (x, w) q = MatMul (p, full)
        turned = Transpose <perm: ints = [1, 0]> (q) s = MatMul (q, turned) y = MatMul (s, q)
    }"""
    model = parse(text, half=normal(4, 4).astype("float16"), full=normal(4, 4))
    inspection = inspect(save(model, tmp_path))
    assert inspection.matmuls == {"float16 x float32": 1, "float32": 3}
    assert inspection.weight_bytes == {"float32": 64, "float16": 32}


def test_invalid_graphs_are_not_written(tmp_path: Path) -> None:
    model = parse("g (float[2,4] x) => (float[2,4] y) { y = Relu (x) }")
    (node,) = model.graph
    node.op_type = "Erfc"
    with pytest.raises(ExportError, match="Erfc"):
        write(model, tmp_path / "a.onnx")


def test_weights_beyond_one_file_are_refused(tmp_path: Path) -> None:
    model = parse("g (float[2,4] x) => (float[2,4] y) { y = Add (x, w) }", w=normal(2, 4))
    # A tensor that says it has 4 GiB, without them.
    huge = ir.LazyTensor(
        lambda: ir.tensor(normal(2, 4)), dtype=ir.DataType.FLOAT, shape=ir.Shape((2**15, 2**15))
    )
    model.graph.initializers["w"].const_value = huge
    with pytest.raises(ExportError, match="holds at most 2 GiB"):
        write(model, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()
