"""Files that compute in integers alone: what is rewritten for them, and what stays as it was."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, export, inspect
from kzoo_export.artifact.compare import compare_outputs
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.recipe import STATIC_INT8, STATIC_INT16, Recipe
from kzoo_export.spec import NOTHING_DECLARED
from kzoo_export.tflite import calibrate, flatbuffer, quantize
from kzoo_export.tflite.passes import masks, normalization, outliers, static
from kzoo_export.tflite.passes.normalization import normalize_twice
from kzoo_export.tflite.passes.static import float_operations
from tests.kzoo_export import models

pytestmark = pytest.mark.once

INT16, INT8 = RECIPES["static_int16x8"], RECIPES["static_int8"]
STRICT = RECIPES["static_int8_strict"]
WIDTH, ROWS = 32, 16


def normalizing(layer: keras.layers.Layer) -> keras.Model:
    features = keras.Input((4, WIDTH), name="features")
    return keras.Model(features, {"normalized": layer(features)})


NORMALIZATIONS = {
    "LayerNormalization": lambda: keras.layers.LayerNormalization(epsilon=1e-3),
    "LayerNorm": lambda: layer("LayerNorm", epsilon=1e-3),
    "RMSNorm": lambda: layer("RMSNorm", epsilon=1e-3),
    "RMSNormalization": lambda: keras.layers.RMSNormalization(epsilon=1e-3),
}


def layer(name: str, **arguments: Any) -> keras.layers.Layer:
    import kzoo.layers

    made: keras.layers.Layer = getattr(kzoo.layers, name)(**arguments)
    return made


@pytest.fixture(scope="module", params=NORMALIZATIONS)
def normalized(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A float file, samples whose rows are of very different size, and the model's outputs."""
    keras.utils.set_random_seed(3)
    model = normalizing(NORMALIZATIONS[request.param]())
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(1 + 0.2 * random.standard_normal(weight.shape))
    features = random.standard_normal((ROWS, 4, WIDTH)) * [[[30.0], [10.0], [3.0], [0.5]]]
    samples = {"features": features.astype("float32")}
    path = tmp_path_factory.mktemp("normalized") / "float32.tflite"
    export(model, path, samples=samples)
    return path, samples, run_batches(load(path), samples)


def test_normalizing_twice_is_exact(normalized: tuple[Any, ...], tmp_path: Path) -> None:
    path, samples, expected = normalized
    model = flatbuffer.read(path.read_bytes())
    near_one = normalize_twice(model)
    assert near_one
    again = calibrate.run_outputs(flatbuffer.write(model), samples)
    # Rows of size 0.5 have squares of 0.25, beside which the epsilon counts.
    np.testing.assert_allclose(again["normalized"], expected["normalized"], atol=2e-5)


def test_small_rows_beside_large_ones(
    normalized: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, samples, expected = normalized

    def errors() -> np.ndarray:
        quantize.quantize(path, tmp_path / "made.tflite", INT16, samples)
        outputs = run_batches(load(tmp_path / "made.tflite"), samples)
        differences = outputs["normalized"] - expected["normalized"]
        return np.linalg.norm(differences, axis=(0, 2)) / np.linalg.norm(
            expected["normalized"], axis=(0, 2)
        )

    # One scale for all rows: the squares of those of size 30 have 16 bits, those of 0.5 have 4.
    assert errors().max() < 0.02
    monkeypatch.setattr(normalization, "_divide_again", lambda graph, operator: {})
    assert errors().max() > 0.05


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A float file of KerasHub's BERT, which masks by -1e9, and samples with padding."""
    path = tmp_path_factory.mktemp("masked") / "float32.tflite"
    model = models.kerashub_bert()
    for weight in model.weights:
        # As they are at first, attention pays no attention to anything.
        if "kernel" in weight.path:
            weight.assign(10 * weight)
    export(model, path, length=models.LENGTH)
    random = np.random.default_rng(0)
    lengths = random.integers(3, models.LENGTH, 32)
    return path, {
        "token_ids": random.integers(0, models.VOCAB_SIZE, (32, models.LENGTH)).astype("int32"),
        "segment_ids": np.zeros((32, models.LENGTH), "int32"),
        "padding_mask": (np.arange(models.LENGTH) < lengths[:, None]).astype("int32"),
    }


def loss(path: Path, recipe: Recipe, samples: dict[str, np.ndarray], made: Path) -> float:
    calibration, others = ({name: a[i::2] for name, a in samples.items()} for i in (0, 1))
    quantize.quantize(path, made, recipe, calibration)
    expected = run_batches(load(path), others)
    compared = compare_outputs(run_batches(load(made), others), expected, others, NOTHING_DECLARED)
    return float(np.mean([output.loss for output in compared]))


@pytest.mark.parametrize("recipe", [INT16, INT8])
def test_foreign_masks_are_bounded(
    masked: tuple[Path, dict[str, np.ndarray]],
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, samples = masked
    made = tmp_path / "made.tflite"
    bounded = loss(path, recipe, samples, made)
    assert bounded < recipe.max_loss
    model = flatbuffer.read(path.read_bytes())
    constants = [
        np.abs(array).max()
        for tensor in model.subgraphs[0].tensors
        if (array := flatbuffer.constant_of(model, tensor)) is not None and array.size
    ]
    assert max(constants) >= 1e9
    monkeypatch.setattr(masks, "_SMALLEST", np.inf)
    assert loss(path, recipe, samples, made) > 10 * bounded


def test_all_is_computed_in_integers(
    masked: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    path, samples = masked
    made = tmp_path / "made.tflite"
    quantize.quantize(path, made, INT16, samples)
    kinds = {each.kind for each in float_operations(flatbuffer.read(made.read_bytes())).values()}
    assert kinds <= {"DEQUANTIZE", "EMBEDDING_LOOKUP", "CAST"}


@pytest.fixture(scope="module")
def outlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A float file of three products; one makes a channel of outliers, which the next one reads."""
    keras.utils.set_random_seed(4)
    features = keras.Input((WIDTH,), name="features")
    dense = keras.layers.Dense
    plain, outlying, last = dense(64, "relu"), dense(64), dense(WIDTH)
    model = keras.Model(features, {"scores": last(outlying(plain(features)))})
    for part, place, factor in ((outlying, np.s_[:, 0], 200.0), (last, np.s_[0], 1 / 200.0)):
        kernel, bias = part.get_weights()
        kernel[place] *= factor
        part.set_weights([kernel, bias])
    samples = np.random.default_rng(0).standard_normal((64, WIDTH)).astype("float32")
    path = tmp_path_factory.mktemp("outlier") / "float32.tflite"
    export(model, path, samples={"features": samples})
    return path, {"features": samples}


@pytest.mark.parametrize(
    ("changes", "products"),
    [
        # Only those that lose much have 16 bits.
        ({"max_loss": 0.01}, {"int8": 1, "int8 x int16": 2}),
        ({"max_loss": 0.0}, {"int8 x int16": 3}),
        ({"max_loss": 1.0}, {"int8": 3}),
        ({"max_loss": 0.01, "every_product": True}, {"int8": 3}),
    ],
)
def test_products_that_lose_most_have_16_bits(
    outlier: tuple[Path, dict[str, np.ndarray]],
    changes: dict[str, Any],
    products: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outliers, "move_outliers", lambda model, magnitudes: None)
    path, samples = outlier
    made = tmp_path / "made.tflite"
    lost = loss(path, dataclasses.replace(INT8, **changes), samples, made)
    assert inspect(made).matmuls == products
    # As the calibration samples lose, so do others.
    assert (lost < 0.01) == ("int8 x int16" in products)


def test_moved_outliers_leave_8_bits_to_the_others(
    outlier: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    path, samples = outlier
    made = tmp_path / "made.tflite"
    assert loss(path, dataclasses.replace(STRICT, max_loss=0.002), samples, made) < 0.002
    assert inspect(made).matmuls == {"int8": 3}


def test_moving_outliers_is_exact(outlier: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, samples = outlier
    content = path.read_bytes()
    before, model = calibrate.measure_channels(content, samples), flatbuffer.read(content)
    outliers.move_outliers(model, before)
    moved = flatbuffer.write(model)
    expected, outputs = (calibrate.run_outputs(each, samples) for each in (content, moved))
    np.testing.assert_allclose(outputs["scores"], expected["scores"], rtol=1e-4, atol=1e-4)
    after = calibrate.measure_channels(moved, samples)
    scaled = [name for name in after if name.endswith("/scaled")]
    assert len(scaled) == 1
    for name in scaled:
        # What the dense layer computes now, and what it did.
        computed = name.removesuffix("/scaled")
        assert before[computed].max() > 10 * np.median(before[computed])
        np.testing.assert_allclose(after[computed], 1.0, rtol=1e-5)
        np.testing.assert_allclose(after[name], before[computed], rtol=1e-5)
    # The new numbers are stored in the place of the old ones.
    assert len(moved) < len(content) + 10_000


def test_weights_of_several_layers_stay(outlier: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, samples = outlier
    model = flatbuffer.read(path.read_bytes())
    graph = model.subgraphs[0]
    dense = [operator for operator in graph.operators if len(operator.inputs) == 3]
    for operator in dense:
        again = copy.deepcopy(operator)
        again.outputs = [len(graph.tensors)]
        graph.tensors.append(copy.deepcopy(graph.tensors[operator.outputs[0]]))
        graph.operators.append(again)
        graph.outputs = [*graph.outputs, *again.outputs]
    count = len(graph.operators)
    outliers.move_outliers(model, calibrate.measure_channels(path.read_bytes(), samples))
    assert not [tensor for tensor in graph.tensors if b"/factors" in tensor.name]
    assert len(graph.operators) == count


def test_what_moves_numbers_follows_its_input() -> None:
    table = {
        name: static.Operation(
            kind, kind == "FULLY_CONNECTED", kind == "RESHAPE", True, inputs, (name,)
        )
        for name, kind, inputs in (
            ("a", "FULLY_CONNECTED", ("x",)),
            ("b", "RESHAPE", ("a",)),
            ("c", "FULLY_CONNECTED", ("b",)),
            ("d", "RESHAPE", ("c",)),
        )
    }
    found = static.with_int16(dict.fromkeys(table, STATIC_INT8), ["a"], table)
    assert found == {"a": STATIC_INT16, "b": STATIC_INT16, "c": STATIC_INT8, "d": STATIC_INT8}


def test_open_axes_stay_open(tmp_path: Path) -> None:
    features = keras.Input((None, WIDTH), name="features")
    model = keras.Model(features, {"scores": keras.layers.Dense(64)(features)})
    samples = {"features": np.random.default_rng(0).standard_normal((32, 9, WIDTH))}
    for recipe in ("static_int8", "static_int16x8"):
        path = tmp_path / f"{recipe}.tflite"
        report = export(model, path, recipe=recipe, length=None, batch_size=None, samples=samples)
        assert [tensor.shape for tensor in report.inspection.outputs] == [(-1, -1, 64)]


def test_too_few_samples(masked: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    path, samples = masked
    few = {name: array[:7] for name, array in samples.items()}
    with pytest.raises(ValueError, match=r"`calibration` must have at least 8 .*Received: 7"):
        quantize.quantize(path, tmp_path / "made.tflite", INT16, few)
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_none(tmp_path: Path) -> None:
    model = models.image_classifier()
    export(model, path := tmp_path / "float32.tflite")
    samples = {"image": np.full((8, 12, 12, 3), np.nan, "float32")}
    with pytest.raises(ValueError, match=r"`calibration` must give finite .*Received: NaN"):
        quantize.quantize(path, tmp_path / "made.tflite", INT8, samples)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("static_int16x8", r"that ONNX files can have.*Received: .*int8, int16"),
        ("static_int8_strict", "must leave products of two activations, .*Received: .*strict"),
    ],
)
def test_onnx_has_no_such_recipe(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        export(models.image_classifier(), tmp_path / "a.onnx", recipe=name)
