"""What `inspect` says of files: multiply-adds, dtypes, memory and the least runtime."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import export, inspect
from kzoo_export.artifact.report import Inspection
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.versions import least_runtime
from tests.kzoo_export import models

pytestmark = pytest.mark.once

FORMATS = ("tflite", "onnx")
HEADS, KEYS, WIDTH = 2, 40, 16


def convolutions() -> keras.Model:
    """Multiply-adds by hand: 10 * 10 * 8 * 27, 10 * 10 * 8 * 9, 5 * 8."""
    layers = keras.layers
    image = keras.Input((12, 12, 3), name="image")
    hidden = layers.DepthwiseConv2D(3, padding="same")(layers.Conv2D(8, 3)(image))
    pooled = layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(image, {"scores": layers.Dense(5)(pooled)})


def attention() -> keras.Model:
    """Multiply-adds by hand: two products of heads * keys * keys * width, the second one turned."""
    shape = (HEADS, KEYS, WIDTH)
    queries, keys, values = (keras.Input(shape, name=name) for name in ("q", "k", "v"))
    logits = keras.ops.matmul(queries, keras.ops.transpose(keys, (0, 1, 3, 2)))
    mixed = keras.ops.matmul(keras.ops.softmax(logits), values)
    return keras.Model({"q": queries, "k": keys, "v": values}, {"mixed": mixed})


MODELS = {
    "convolutions": (convolutions, 10 * 10 * 8 * (27 + 9) + 8 * 5),
    "attention": (attention, 2 * HEADS * KEYS * KEYS * WIDTH),
}


@pytest.fixture(scope="module", params=FORMATS)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder: Path = tmp_path_factory.mktemp("files")
    found = {}
    for name, (build, _) in MODELS.items():
        found[name] = folder / f"{name}.{request.param}"
        export(build(), found[name])
    return found


@pytest.mark.parametrize("name", MODELS)
def test_multiply_adds(files: dict[str, Path], name: str) -> None:
    inspection = inspect(files[name])
    assert inspection.multiply_adds == {"float32": MODELS[name][1]}
    assert set(inspection.ops_by_dtype["float32"]) <= set(inspection.ops)


def test_memory_of_tensors(files: dict[str, Path]) -> None:
    arena = inspect(files["convolutions"]).arena_bytes
    image, hidden = 4 * 12 * 12 * 3, 4 * 10 * 10 * 8
    assert arena is not None
    # What both convolutions compute lives at once.
    assert 2 * hidden <= arena <= 2 * hidden + 2 * image


@pytest.mark.parametrize("format", FORMATS)
def test_open_axes_leave_sizes_unknown(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"open.{format}"
    rows = keras.Input((None, 8), name="rows")
    scores = keras.layers.Dense(4)(rows)
    export(keras.Model(rows, {"scores": scores}), path, length=None)
    inspection = inspect(path)
    assert inspection.multiply_adds == {}
    assert inspection.arena_bytes is None
    assert "memory" not in str(inspection)


def test_least_runtime_is_that_of_the_converter(tmp_path: Path) -> None:
    path = tmp_path / "float32.tflite"
    export(models.transformer_lm(), path, length=models.LENGTH)
    model = flatbuffer.read(path.read_bytes())
    (entry,) = [each for each in model.metadata if each.name == b"min_runtime_version"]
    written = bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
    assert inspect(path).least_runtime == f"TensorFlow Lite {written.removesuffix('.0')}"


def test_least_runtime() -> None:
    assert least_runtime([("ADD", 1), ("EMBEDDING_LOOKUP", 4)]) == "TensorFlow Lite 2.18"
    # 2.9 is older than 2.18, and 1.15 older than 2.0.
    assert least_runtime([("GELU", 1), ("ADD", 3)]) == "TensorFlow Lite 2.9"
    assert least_runtime([("ADD", 9)]).endswith("unknown: ADD 9")


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Inspection]]:
    folder: Path = tmp_path_factory.mktemp("static")
    samples = np.random.default_rng(0).standard_normal((32, 12, 12, 3)).astype("float32")
    made = {}
    for recipe in ("static_int8", "static_int16x8"):
        path = folder / f"{recipe}.tflite"
        export(convolutions(), path, recipe=recipe, samples=samples)
        made[recipe] = path, inspect(path)
    return made


@pytest.mark.parametrize(
    ("recipe", "dtype", "runtime"),
    # The convolution of 8 bits is in version 3, of 16 in version 4, and so on.
    [("static_int8", "int8", "1.14"), ("static_int16x8", "int16", "2.4")],
)
def test_integer_files(
    static: dict[str, tuple[Path, Inspection]], recipe: str, dtype: str, runtime: str
) -> None:
    path, inspection = static[recipe]
    products = "int8" if dtype == "int8" else "int8 x int16"
    assert inspection.multiply_adds == {products: MODELS["convolutions"][1]}
    assert set(inspection.ops_by_dtype[dtype]) >= {"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN"}
    assert set(inspection.ops_by_dtype["float32"]) == {"DEQUANTIZE"}
    assert [note for note in inspection.notes if "1 DEQUANTIZE in float32" in note]
    assert "computing float32" in str(inspection)
    release = tuple(map(int, inspection.least_runtime.split()[-1].split(".")))
    assert release >= tuple(map(int, runtime.split(".")))
    # The file itself says which versions it needs: a runtime reads no tables of ours.
    model = flatbuffer.read(path.read_bytes())
    versions = {flatbuffer.operation_of(code): code.version for code in model.operatorCodes}
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    assert versions[BuiltinOperator.CONV_2D] == (3 if dtype == "int8" else 4)
    assert versions[BuiltinOperator.MEAN] == (2 if dtype == "int8" else 3)
