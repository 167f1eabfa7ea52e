"""Recipes as data: numbers for all weights, and other numbers by layer and operation."""

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from kzoo_export import RECIPES, Override, Recipe, RecipeError, export, export_all, inspect
from kzoo_export.artifact.accept import check_recipe
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.assign import Weight, assign, first_use
from kzoo_export.recipe import FLOAT32
from kzoo_export.source.prepare import prepare
from kzoo_export.tflite import flatbuffer
from tests.kzoo_export import models

pytestmark = pytest.mark.once

FORMATS = ("tflite", "onnx")
DYNAMIC = RECIPES["dynamic_int8"]
FLOAT = RECIPES["float32"]
QUERIES = r"block_\d/attention/query"


class Lowered(NamedTuple):
    """A language model, its float32 file, and samples with what the model makes of them."""

    path: Path
    samples: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=FORMATS)
def lowered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    path = tmp_path_factory.mktemp("recipes") / f"float32.{request.param}"
    model = models.transformer_lm()
    export(model, path, length=models.LENGTH)
    source = prepare(model)
    samples = source.reader(source.signature(models.LENGTH), seed=3).default()
    return Lowered(path, dict(samples.arrays), source.run(samples))


def quantized(lowered: Lowered, recipe: Recipe, folder: Path, most: float = 0.05) -> Path:
    """Write the file of a recipe, and check that it computes the model, with `most` of error."""
    target = folder / f"made{lowered.path.suffix}"
    format = lowered.path.suffix.removeprefix(".")
    quantizer = importlib.import_module(f"kzoo_export.{format}.quantize")
    quantizer.quantize(lowered.path, target, recipe, lowered.samples)
    outputs = run_batches(load(target), lowered.samples)
    for name, expected in lowered.expected.items():
        error = np.linalg.norm(outputs[name] - expected) / np.linalg.norm(expected)
        assert error < most, name
    return target


def dtypes(path: Path) -> dict[str, str]:
    """Read the dtype of every matrix of a file, by its name."""
    return dict(_onnx(path) if path.suffix == ".onnx" else _tflite(path))


def _onnx(path: Path) -> Iterator[tuple[str, str]]:
    for tensor in onnx.load(path).graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim > 1 and array.size >= 1024:
            yield tensor.name, array.dtype.name


def _tflite(path: Path) -> Iterator[tuple[str, str]]:
    from ai_edge_litert import schema_py_generated as schema

    types = {code: name.lower() for name, code in vars(schema.TensorType).items() if name.isupper()}
    model = flatbuffer.read(path.read_bytes())
    graph = model.subgraphs[0]
    for operator in graph.operators:
        for index in (each for each in operator.inputs if each >= 0):
            tensor = graph.tensors[index]
            size = np.prod(flatbuffer.shape_of(tensor))
            if model.buffers[tensor.buffer].data is not None and size >= 1024:
                output = graph.tensors[operator.outputs[0]].name.decode()
                yield f"{tensor.name.decode()} {output}", types[tensor.type]


def of(found: dict[str, str], pattern: str) -> set[str]:
    """Collect the dtypes of the matrices with a name."""
    matches = {dtype for name, dtype in found.items() if re.search(pattern, name)}
    assert matches, f"{pattern} is not in {sorted(found)}"
    return matches


def test_files_name_weights_by_layer(lowered: Lowered) -> None:
    found = dtypes(lowered.path)
    for layer in ("attention/query", "attention/key", "attention/out", "feed_forward/out"):
        for block in ("block_0", "block_1"):
            assert of(found, f"{block}/{layer}") == {"float32"}
    assert of(found, "embedding/") == of(found, "decoder") == {"float32"}


def test_override_by_scope(lowered: Lowered, tmp_path: Path) -> None:
    recipe = dataclasses.replace(DYNAMIC, overrides=(Override("float32", scope=QUERIES),))
    found = dtypes(quantized(lowered, recipe, tmp_path))
    assert of(found, QUERIES) == {"float32"}
    for other in ("attention/key", "attention/out", "feed_forward/intermediate", "embedding/"):
        assert of(found, other) == {"int8"}


def test_override_by_operation(lowered: Lowered, tmp_path: Path) -> None:
    recipe = dataclasses.replace(DYNAMIC, overrides=(Override("float16", operation="embedding"),))
    found = dtypes(quantized(lowered, recipe, tmp_path))
    assert of(found, "embedding/") == {"float16"}
    assert of(found, "attention/key") == of(found, "decoder") == {"int8"}


def test_float_recipe_with_one_smaller_part(lowered: Lowered, tmp_path: Path) -> None:
    override = Override("int8", "dynamic_int8", "feed_forward", "dense")
    found = dtypes(quantized(lowered, dataclasses.replace(FLOAT, overrides=(override,)), tmp_path))
    assert of(found, "feed_forward") == {"int8"}
    assert of(found, "attention/|embedding/|decoder") == {"float32"}


def test_last_override_counts(lowered: Lowered, tmp_path: Path) -> None:
    overrides = (Override("float32", scope="block_0"), Override("float16", scope="block_0/att"))
    found = dtypes(quantized(lowered, dataclasses.replace(DYNAMIC, overrides=overrides), tmp_path))
    assert of(found, "block_0/attention/key") == {"float16"}
    assert of(found, "block_0/feed_forward") == {"float32"}
    assert of(found, "block_1/") == {"int8"}


def test_weights_of_8_bits_with_float_activations(lowered: Lowered, tmp_path: Path) -> None:
    path = quantized(lowered, RECIPES["weight_int8"], tmp_path)
    assert of(dtypes(path), "attention/|feed_forward/|embedding/|decoder") == {"int8"}
    inspection = inspect(path)
    assert inspection.matmuls["int8 x float32"] == 13
    # ONNX Runtime would quantize the activations behind it.
    assert not {"MatMulInteger", "DequantizeLinear"} & set(inspection.ops)


def test_tables_of_4_bits(lowered: Lowered, tmp_path: Path) -> None:
    # A block of 32 normal numbers has its largest at 2.2: a step of 0.31, an error of 0.09.
    path = quantized(lowered, RECIPES["dynamic_int8_embedding_int4"], tmp_path, most=0.12)
    found = dtypes(path)
    assert of(found, "embedding/") == {"int4"}
    assert of(found, "attention/|feed_forward/|decoder") == {"int8"}


def test_rows_that_are_no_blocks_are_refused(tmp_path: Path) -> None:
    ids = keras.Input((4,), dtype="int32", name="ids")
    rows = keras.layers.Embedding(64, 40, name="table")(ids)
    model = keras.Model(ids, keras.layers.Dense(32, name="dense")(rows))
    with pytest.raises(RecipeError, match=r"blocks of 32 numbers, and .*table.* rows of 40"):
        export(model, tmp_path / "a.tflite", "dynamic_int8_embedding_int4")
    assert not list(tmp_path.iterdir())


def test_tables_of_4_bits_are_not_portable(tmp_path: Path) -> None:
    targets = {tmp_path / f"a.{format}": "dynamic_int8_embedding_int4" for format in FORMATS}
    with pytest.raises(ValueError, match=r"that portable ONNX files can have.*with int4, float32"):
        export_all(models.transformer_lm(), targets, length=models.LENGTH, portable=True)
    assert not list(tmp_path.iterdir())


def test_table_that_is_multiplied_too_is_dense() -> None:
    assert (
        first_use(("other", "embedding", "dense")) == first_use(("dense", "embedding")) == "dense"
    )
    assert first_use(("embedding", "other")) == "embedding"
    assert first_use(("other",)) == first_use(()) == "other"


def test_override_about_nothing_is_refused(lowered: Lowered, tmp_path: Path) -> None:
    for override in (Override("float16", scope="blok_0"), Override("int8", operation="recurrent")):
        recipe = dataclasses.replace(DYNAMIC, overrides=(override,))
        with pytest.raises(RecipeError, match=r"about no weight[\s\S]*embedding: .*embedding"):
            quantized(lowered, recipe, tmp_path)
        assert not list(tmp_path.iterdir())


def test_custom_recipe_from_the_model_to_the_report(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        DYNAMIC, name="mine", overrides=(Override("float32", scope=QUERIES),)
    )
    report = export(models.transformer_lm(), tmp_path / "a.tflite", recipe, length=models.LENGTH)
    assert Recipe.from_dict(report.to_dict()["recipe"]) == recipe
    assert "weights in 'block" in str(report)
    assert of(dtypes(Path(report.path)), QUERIES) == {"float32"}


def test_arguments_of_overrides() -> None:
    with pytest.raises(ValueError, match=r"`operation` must be one of .*Received: operation='mat'"):
        Override("int8", operation="mat")
    with pytest.raises(ValueError, match="`scope` must be a regular expression"):
        Override("int8", scope="(")


def test_what_can_have_no_such_numbers_stays() -> None:
    abilities = {FLOAT32: ("dense", "other"), DYNAMIC.rules[0].numbers: ("dense",)}
    weights = {"a": Weight("a", "dense", 8), "b": Weight("b", "other", 8)}
    chosen = assign(DYNAMIC, weights, abilities)
    assert chosen == {FLOAT32: set(), DYNAMIC.rules[0].numbers: {"a"}}


def test_every_part_of_a_recipe_must_be_in_the_file(lowered: Lowered, tmp_path: Path) -> None:
    recipe = dataclasses.replace(DYNAMIC, overrides=(Override("float16", operation="embedding"),))
    whole = sum(inspect(lowered.path).weight_bytes.values())
    check_recipe(inspect(quantized(lowered, recipe, tmp_path)), recipe, whole)
    without = inspect(quantized(lowered, DYNAMIC, tmp_path))
    with pytest.raises(RecipeError, match="no weight of the file is stored as float16"):
        check_recipe(without, recipe, whole)
