"""Attention over 512 tokens in files, with every position and every kind of mask."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES
from kzoo_export.artifact.compare import compare_output
from kzoo_export.artifact.files import load
from tests.arrays import graph_inputs
from tests.kzoo.layers.cases import masked
from tests.kzoo_export.lowered import ROUTE, Lowered, lower, make

if not ROUTE:
    pytest.skip("no format is lowered from JAX", allow_module_level=True)

# Scores of a trained model. With larger ones the bias of a graph to export asks for a soft cap.
ORDINARY, LARGE = 20.0, 300.0
SOFT_CAP = 300.0
# Masks with rows that have no key; which pairs the others hide does not matter to a cap.
CAPPED = ("padding", "everything")
# Scores lie around -400 where ALiBi meets a row that is masked everywhere: float32 resolves 3e-5.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return {}


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory, expected: dict[str, np.ndarray]) -> Lowered:
    """All layers beside each other in one model."""
    arrays = {"query": masked.HIDDEN}
    for mask in masked.MASKS.values():
        arrays |= {
            f"{name}_{array.ndim}": array.astype("int32") for name, array in mask.call.items()
        }
    inputs = graph_inputs(arrays)
    outputs = {}
    for position in masked.POSITIONS:
        for name, mask in masked.MASKS.items():
            layer = masked.make(position, name, ORDINARY)
            call = {key: inputs[f"{key}_{array.ndim}"] for key, array in mask.call.items()}
            outputs[f"{position}_{name}"] = layer(inputs["query"], **call)
            expected[f"{position}_{name}"] = masked.expected(layer, position, name)
            if name in CAPPED:
                capped = masked.make(position, name, LARGE, soft_cap=SOFT_CAP)
                outputs[f"capped_{position}_{name}"] = capped(inputs["query"], **call)
    outputs["unbounded"] = masked.make("none", "pairs", LARGE)(
        inputs["query"], mask=inputs["mask_3"]
    )
    model = keras.Model(inputs, outputs)
    return lower(model, arrays, tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="module")
def float32_outputs(
    lowered: Lowered, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    return run(lowered, "float32", tmp_path_factory.mktemp("float32"))


def test_float32_file_agrees_with_the_oracle(
    lowered: Lowered, expected: dict[str, np.ndarray], float32_outputs: dict[str, np.ndarray]
) -> None:
    errors = {
        name: np.abs(float32_outputs[name] - values).max() / np.abs(values).max()
        for name, values in {**lowered.outputs, **expected}.items()
        if name != "unbounded"
    }
    assert max(errors.values()) < TOLERANCE, errors


def test_int8_file_is_within_its_tolerance(lowered: Lowered, tmp_path: Path) -> None:
    recipe = RECIPES["dynamic_int8"]
    outputs = run(lowered, recipe.name, tmp_path)
    compared = [
        compare_output(name, outputs[name], values)
        for name, values in lowered.outputs.items()
        # 8 bits resolve scores of 300 to one or two: no softmax forgives that.
        if not name.startswith(("capped", "unbounded"))
    ]
    assert not [each for each in compared if not each.within(recipe.tolerance)]


def test_verification_notices_scores_beyond_the_bound(
    lowered: Lowered, float32_outputs: dict[str, np.ndarray]
) -> None:
    name = "unbounded"
    compared = compare_output(name, float32_outputs[name], lowered.outputs[name])
    assert not compared.within(RECIPES["float32"].tolerance)


def run(lowered: Lowered, recipe: str, folder: Path) -> dict[str, np.ndarray]:
    target = folder / f"{recipe}.{lowered.spec.format}"
    make(lowered, target, RECIPES[recipe])
    return load(target, threads=2)(lowered.inputs)
