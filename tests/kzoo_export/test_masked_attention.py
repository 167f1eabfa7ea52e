"""Attention over 512 tokens in files, with every position and every kind of mask."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, artefact
from kzoo_export.verify import compare_output
from tests.kzoo.layers.cases import masked
from tests.kzoo_export.lowered import ROUTE, Lowered, lower, make

if not ROUTE:
    pytest.skip("no format is lowered from JAX", allow_module_level=True)

# Scores of a trained model. With larger ones the bias of a graph to export asks for a soft cap.
ORDINARY, LARGE = 20.0, 300.0
SOFT_CAP = 300.0
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
    inputs = {
        name: keras.Input(batch_shape=array.shape, dtype=str(array.dtype), name=name)
        for name, array in arrays.items()
    }
    outputs = {}
    for position in masked.POSITIONS:
        for name, mask in masked.MASKS.items():
            layer = masked.make(position, name, ORDINARY)
            call = {key: inputs[f"{key}_{array.ndim}"] for key, array in mask.call.items()}
            outputs[f"{position}_{name}"] = layer(inputs["query"], **call)
            expected[f"{position}_{name}"] = masked.expected(layer, position, name)
    capped = masked.make("none", "pairs", LARGE, soft_cap=SOFT_CAP)
    outputs["capped"] = capped(inputs["query"], mask=inputs["mask_3"])
    outputs["unbounded"] = masked.make("none", "pairs", LARGE)(
        inputs["query"], mask=inputs["mask_3"]
    )
    model = keras.Model(inputs, outputs)
    return lower(model, arrays, tmp_path_factory.mktemp("masked"))


def test_float32_file_agrees_with_the_oracle(
    lowered: Lowered, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    outputs = run(lowered, "float32", tmp_path)
    errors = {
        name: np.abs(outputs[name] - values).max() / np.abs(values).max()
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
        if name
        not in (
            "capped",
            "unbounded",
        )  # 8 bits resolve scores of 300 to one or two: no softmax forgives that
    ]
    assert not [each for each in compared if not each.within(recipe.tolerance)]


def test_verification_notices_scores_beyond_the_bound(lowered: Lowered, tmp_path: Path) -> None:
    output = run(lowered, "float32", tmp_path)["unbounded"]
    compared = compare_output("unbounded", output, lowered.outputs["unbounded"])
    assert not compared.within(RECIPES["float32"].tolerance)


def run(lowered: Lowered, recipe: str, folder: Path) -> dict[str, np.ndarray]:
    target = folder / f"{recipe}.{lowered.spec.format}"
    make(lowered, target, RECIPES[recipe])
    return artefact.load(target, threads=2)(lowered.inputs)
