"""Layer x recipe: every layer exported alone, and its file compared with it.

The rows are the cases of the layers' own tests.
"""

import functools
import gc
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES
from kzoo_export.artifact.accept import check_recipe
from kzoo_export.artifact.compare import compare_output
from kzoo_export.artifact.files import load
from kzoo_export.artifact.measure import check_signature
from kzoo_export.artifact.verification import Verification
from kzoo_export.errors import RecipeError
from kzoo_export.lowering.routes import ROUTES
from kzoo_export.recipe import Recipe
from kzoo_export.target import formats_of
from tests.arrays import Inputs, graph_inputs, to_numpy
from tests.kzoo.layers.cases import CASES
from tests.kzoo.layers.cases.case import Case
from tests.kzoo_export.checks import check_file
from tests.kzoo_export.lowered import ROUTE, Lowered, lower, make

if not ROUTE:
    pytest.skip("no format is lowered from JAX", allow_module_level=True)

FORMAT = ROUTES[ROUTE].format
TRIED = ("float32", "dynamic_int8", "static_int8", "weight_int4")
NAMES = [name for name in TRIED if FORMAT in formats_of(RECIPES[name])]
# The arrays of the cases are as narrow as arithmetic can be tested on. TFLite leaves matrices of
# less than 1024 numbers alone, and over eight channels the noise of 8 bits does not average out as
# it does in a model: every width is multiplied by this.
WIDER = 16
WIDTHS = ("hidden_dim", "mlp_dim", "head_dim", "rotary_dim")
# What a layer is called with but a model holds as a weight.
SHARED = ("token_table",)
# TFLite keeps matrices of fewer numbers in float32, ONNX keeps tables that are only added.
SMALLEST_MATRIX = 1024
# Cases with the graph of another case and other numbers in it: those are for arithmetic.
SAME_GRAPH = {
    "layer_norm_epsilon": "layer_norm",
    "sinusoidal_positions_short": "sinusoidal_positions",
}
# Layers whose only product is not one of a dense layer: in static ONNX files it stays float.
NOT_DENSE = {"RelativeKeys"}


class Exported(NamedTuple):
    """A layer alone in a model, lowered."""

    name: str
    model: keras.Model
    weights: list[np.ndarray]
    lowered: Lowered

    @property
    def rows(self) -> set[int]:
        """The sizes of the first axes of inputs: of a batch there is one."""
        return {len(array) for array in self.lowered.inputs.values()}


@pytest.fixture(scope="module", autouse=True)
def one_process_for_all() -> Iterator[None]:
    """Save what the converters do anew for each file, as if it were the only one of its process.

    PyTorch's exporter reads the source of its 500 functions, TensorFlow's collects garbage.
    """
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        if ROUTE == "torch":
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            once = functools.cache(ONNXRegistry.from_torchlib)
            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(once))
        yield
    gc.unfreeze()


@pytest.fixture(scope="module", params=[name for name in CASES if name not in SAME_GRAPH])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One lowering serves all recipes."""
    case = widened(CASES[request.param])
    shared = {name: array for name, array in case.inputs.items() if name in SHARED}
    inputs = {name: array for name, array in case.inputs.items() if name not in SHARED}
    model = alone(case, inputs, shared)
    scale_weights(model)
    weights = [*map(to_numpy, model.weights), *shared.values()]
    return Exported(
        request.param, model, weights, lower(model, inputs, tmp_path_factory.mktemp(request.param))
    )


@pytest.mark.parametrize("name", NAMES)
def test_layer_exports_alone(exported: Exported, name: str, tmp_path: Path) -> None:
    lowered, recipe = exported.lowered, RECIPES[name]
    if recipe.calibrates and len(exported.rows) > 1:
        pytest.skip("calibration samples are rows, and the inputs have no axis for them")
    target = tmp_path / f"{name}.{lowered.spec.format}"
    if refusal := made_or_refused(lowered, target, recipe):
        # Nothing can have 4 bits there: said, and no file is left.
        assert re.search(r"is about no weight|has rows of|has a kernel for 4 bits", refusal)
        assert (name, target.exists()) == ("weight_int4", False)
        assert "is about no weight" not in refusal or not shrinks(exported)
        return
    inspection = check_file(target)
    check_signature(inspection, lowered.spec)
    if stays_float(exported, recipe):
        with pytest.raises(RecipeError, match="no product compute in integers"):
            check_recipe(inspection, recipe, sum(array.nbytes for array in exported.weights))
    elif name == "float32" or shrinks(exported):
        size = sum(array.nbytes for array in exported.weights)
        check_recipe(inspection, recipe, size)
    else:
        # Nothing to quantize: an export is refused, and the file is as good as the float32 file.
        with pytest.raises(RecipeError):
            check_recipe(inspection, recipe, 0)
        # Activations of integers are, whatever is stored.
        recipe = recipe if recipe.is_static else RECIPES["float32"]
    outputs = load(target, threads=1)(lowered.inputs)
    verification = Verification(
        outputs=tuple(
            compare_output(name, outputs[name], expected)
            for name, expected in lowered.outputs.items()
        ),
        tolerance=recipe.tolerance,
        num_samples=1,
        samples="the arrays of the case, widened",
        judged_as=recipe.name,
    )
    assert verification.passed, str(verification)


def made_or_refused(lowered: Lowered, target: Path, recipe: Recipe) -> str:
    """Write the file of a recipe, or return why there is none."""
    try:
        make(lowered, target, recipe)
    except RecipeError as error:
        return str(error)
    return ""


def widened(case: Case) -> Case:
    """Make every width of a case as large as in a small model."""
    random = np.random.default_rng(0)
    inputs = {
        name: random.normal(size=(*array.shape[:-1], WIDER * array.shape[-1])).astype(array.dtype)
        if array.dtype.kind == "f" and not name.endswith("_bias")  # whose axes are lengths
        else array
        for name, array in case.inputs.items()
    }
    arguments = widened_config(case.make().get_config())
    return case._replace(arguments=arguments, inputs=inputs)


def widened_config(config: Any, key: str = "") -> Any:
    """Multiply every width in a layer's configuration, the layers inside it included."""
    if isinstance(config, Mapping):
        return {name: widened_config(value, name) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(widened_config(value) for value in config)
    return config * WIDER if key in WIDTHS and config is not None else config


def alone(case: Case, inputs: Inputs, shared: Inputs) -> keras.Model:
    """Make a model of one layer with static shapes and named outputs."""
    arguments = graph_inputs(inputs)
    layer = case.layer.from_config(case.arguments)
    leaves = keras.tree.flatten(layer(**arguments, **shared))
    return keras.Model(arguments, {f"output_{i}": leaf for i, leaf in enumerate(leaves)})


def scale_weights(model: keras.Model) -> None:
    """Give weights the scale of trained ones: a product keeps the variance of what enters it."""
    random = np.random.default_rng(1)
    for weight in model.trainable_variables:
        scale = weight.shape[0] ** -0.5 if len(weight.shape) > 1 else 0.3
        offset = 0.0 if len(weight.shape) > 1 else to_numpy(weight)
        weight.assign(offset + random.normal(0, scale, weight.shape))


def shrinks(exported: Exported) -> bool:
    """Say whether there is a matrix worth storing in 8 bits."""
    return any(a.ndim > 1 and a.size >= SMALLEST_MATRIX for a in exported.weights)


def stays_float(exported: Exported, recipe: Recipe) -> bool:
    """Say whether a static recipe finds no product that it has integers for."""
    layers = {type(layer).__name__ for layer in exported.model.layers}
    return FORMAT == "onnx" and recipe.is_static and bool(layers & NOT_DENSE)
