"""Files whose dense layers have 4 bits: what is stored, and that the runtime computes with it."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from kzoo_export import RECIPES, Override, RecipeError, export
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.gptq import Choice, Rounded
from kzoo_export.mixed import choose_wide
from kzoo_export.tflite import flatbuffer, quantize
from kzoo_export.tflite.passes import int4

pytestmark = pytest.mark.once

RECIPE = RECIPES["weight_int4"]
RANDOM = np.random.default_rng(0)
WIDTH, ROWS = 128, 64
# Channels that depend on each other, with a mean, as behind an activation.
FEATURES = (RANDOM.standard_normal((ROWS, 32)) @ RANDOM.standard_normal((32, WIDTH)) + 3).astype(
    "float32"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    features = keras.Input((WIDTH,), name="features")
    made: Path = tmp_path_factory.mktemp("int4") / "float32.tflite"
    dense = keras.layers.Dense(96, bias_initializer="ones")
    export(keras.Model(features, {"scores": dense(features)}), made, samples=FEATURES)
    return made


def test_rounding_is_for_the_inputs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, others = {"features": FEATURES[::2]}, {"features": FEATURES[1::2]}
    expected = run_batches(load(path), others)["scores"]

    def error() -> float:
        quantize.quantize(path, tmp_path / "made.tflite", RECIPE, samples)
        scores = run_batches(load(tmp_path / "made.tflite"), others)["scores"]
        return float(np.linalg.norm(scores - expected) / np.linalg.norm(expected))

    refined = error()
    assert refined < 0.05
    monkeypatch.setattr(int4, "refine", lambda made, choices: None)
    assert refined < 0.6 * error()


def test_layer_that_is_called_twice(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    features = keras.Input((WIDTH,), name="features")
    dense = keras.layers.Dense(96, bias_initializer="ones")
    outputs = {"scores": dense(features), "others": dense(keras.ops.tanh(features))}
    source, made = tmp_path / "float32.tflite", tmp_path / "made.tflite"
    samples = {"features": FEATURES}
    export(keras.Model(features, outputs), source, samples=FEATURES)
    quantize.quantize(source, made, RECIPE, samples)
    expected, found = (run_batches(load(path), samples) for path in (source, made))
    for name, array in expected.items():
        # What one call reads takes nothing from the other: each loses as little as one alone.
        assert np.linalg.norm(found[name] - array) < 0.1 * np.linalg.norm(array)


def test_layers_that_lose_most_get_8_bits(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    features = keras.Input((WIDTH,), name="features")
    large = keras.layers.Dense(WIDTH, activation="tanh", name="large")(features)
    # What is left of this one in the outputs is a hundredth: nobody sees how it is rounded.
    small = 0.01 * keras.layers.Dense(WIDTH, activation="tanh", name="small")(features)
    source = tmp_path / "float32.tflite"
    export(keras.Model(features, {"scores": large + small}), source, samples=FEATURES)
    samples, errors = {"features": FEATURES}, {}
    expected = run_batches(load(source), samples)["scores"]
    for name in ("weight_int4", "weight_int4_mixed"):
        made = tmp_path / f"{name}.tflite"
        quantize.quantize(source, made, RECIPES[name], samples)
        errors[name] = np.linalg.norm(run_batches(load(made), samples)["scores"] - expected)
        stored = weights_by_dtype(made)
        assert "small" in stored["int4"]
        assert "large" in stored["int4" if name == "weight_int4" else "int8"]
    assert errors["weight_int4_mixed"] < 0.5 * errors["weight_int4"]


def weights_by_dtype(path: Path) -> dict[str, str]:
    """Name the weights of a file by dtype."""
    model = flatbuffer.read(path.read_bytes())
    names = flatbuffer.names_of(schema.TensorType)
    found: dict[str, str] = {}
    for tensor in model.subgraphs[0].tensors:
        if len(tensor.shape) == 2 and model.buffers[tensor.buffer].data is not None:
            dtype = names[tensor.type].lower()
            found[dtype] = f"{found.get(dtype, '')} {tensor.name.decode()}"
    return found


@pytest.mark.parametrize(
    ("share", "chosen"), [(0.0, ""), (0.2, "b"), (0.4, "c"), (0.7, "bc"), (1.0, "abc")]
)
def test_share_of_wide_weights(share: float, chosen: str) -> None:
    losses, sizes = {"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 40, "b": 20, "c": 40}
    rounded = {
        name: Choice(Rounded(np.zeros((1, size), np.int8), np.ones((1, 1))))
        for name, size in sizes.items()
    }
    assert choose_wide(rounded, losses.__getitem__, share) == set(chosen)


@pytest.mark.parametrize(("name", "share"), [("dynamic_int8", 0.5), ("weight_int4", 1.0)])
def test_share_of_what_a_recipe_does_not_have(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=r"`wide_share` must be .*Received: wide_share="):
        dataclasses.replace(RECIPES[name], wide_share=share)


def test_what_stays_float_is_noted(tmp_path: Path) -> None:
    features = keras.Input((WIDTH,), name="features")
    scores = keras.layers.Dense(96, name="kept")(keras.layers.Dense(WIDTH)(features))
    kept = Override("float32", scope="kept")
    recipe = dataclasses.replace(RECIPE, overrides=(*RECIPE.overrides, kept))
    model = keras.Model(features, {"scores": scores})
    inspection = export(model, tmp_path / "a.tflite", recipe, samples=FEATURES).inspection
    assert set(inspection.weight_bytes) >= {"int4", "float32"}
    assert "int8" not in inspection.weight_bytes
    assert [note for note in inspection.notes if "weights stayed float32" in note]


def test_products_without_a_kernel_are_named(tmp_path: Path) -> None:
    features = keras.Input((4, 64), name="features")
    kernel = RANDOM.standard_normal((4, 64, 32)).astype("float32")
    model = keras.Model(features, {"mixed": keras.ops.matmul(features[:, :, None], kernel)})
    export(model, tmp_path / "float32.tflite")
    samples = {"features": RANDOM.standard_normal((16, 4, 64)).astype("float32")}
    with pytest.raises(RecipeError, match=r"Only a dense layer \(FULLY_CONNECTED\)"):
        quantize.quantize(tmp_path / "float32.tflite", tmp_path / "a.tflite", RECIPE, samples)


def test_too_few_samples(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`calibration` must have at least 8 samples"):
        quantize.quantize(path, tmp_path / "a.tflite", RECIPE, {"features": FEATURES[:7]})
    assert not list(tmp_path.iterdir())
