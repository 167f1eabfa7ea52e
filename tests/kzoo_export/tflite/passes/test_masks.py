"""Masks of infinity, as PyTorch's attention has them: integers need a number."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, export
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.tflite import flatbuffer, quantize
from kzoo_export.tflite.passes import masks
from kzoo_export.tflite.passes.graph import Graph

pytestmark = pytest.mark.once

LENGTH, WIDTH = 8, 128


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A float file with a softmax over the places that a mask leaves, and samples."""
    path = tmp_path_factory.mktemp("masked") / "float32.tflite"
    keras.utils.set_random_seed(0)
    features = keras.Input((LENGTH, WIDTH), name="features")
    mask = keras.Input((LENGTH,), name="mask", dtype="int32")
    scores = keras.layers.Dense(LENGTH, name="scores")(features)
    real = keras.ops.equal(mask[:, None, :], 1)
    masked_scores = keras.ops.where(real, scores, -float("inf"))
    outputs = {"weights": keras.ops.softmax(masked_scores)}
    random = np.random.default_rng(0)
    samples = {
        "features": random.normal(size=(32, LENGTH, WIDTH)).astype("float32"),
        "mask": (np.arange(LENGTH) < random.integers(2, LENGTH + 1, (32, 1))).astype("int32"),
    }
    export(keras.Model({"features": features, "mask": mask}, outputs), path, samples=samples)
    # TensorFlow's converter has the largest float32 instead.
    model = flatbuffer.read(path.read_bytes())
    (mask_index,) = masks.find_masks(model)
    infinite = np.full((), -np.inf, np.float32)
    graph = Graph(model, model.subgraphs[0])
    graph.set_constant(mask_index, np.broadcast_to(infinite, graph.weight(mask_index).shape))
    path.write_bytes(flatbuffer.write(model))
    return path, samples


@pytest.mark.parametrize("recipe", ["static_int16x8", "static_int8"])
def test_infinite_masks_are_bounded(
    masked: tuple[Path, dict[str, np.ndarray]], recipe: str, tmp_path: Path
) -> None:
    path, samples = masked
    made = tmp_path / "made.tflite"
    quantize.quantize(path, made, RECIPES[recipe], samples)
    weights, expected = (run_batches(load(each), samples)["weights"] for each in (made, path))
    np.testing.assert_allclose(weights, expected, atol=0.05)
    hidden = weights[np.broadcast_to(samples["mask"][:, None] == 0, weights.shape)]
    assert hidden.max() < 1e-4  # two steps of 16 bits
