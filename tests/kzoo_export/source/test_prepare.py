"""Preparing a model: what is taken, what is refused, and that the user's model stays as it was."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo_export import export
from kzoo_export.samples import Samples
from kzoo_export.source.prepare import prepare
from kzoo_export.source.saving import load, save

pytestmark = pytest.mark.once


def usual_loss(true: Any, predicted: Any) -> Any:
    return ops.mean(ops.square(true - predicted))


class Doubled(layers.Layer):
    """Registered in no way by itself."""

    def call(self, inputs: Any) -> Any:
        return 2 * inputs


@keras.saving.register_keras_serializable("kzoo_tests")
class Subclassed(keras.Model):
    """Takes and gives whatever structure it is called with."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(4)

    def call(self, inputs: Any) -> Any:
        if isinstance(inputs, dict):
            return {"total": self.dense(inputs["left"]) + inputs["right"]}
        if isinstance(inputs, list):
            return [self.dense(inputs[0]), inputs[1]]
        return self.dense(inputs)


@keras.saving.register_keras_serializable("kzoo_tests")
class TwoArguments(keras.Model):
    def call(self, left: Any, right: Any) -> Any:
        return left + right


def dense_model() -> keras.Model:
    return keras.Sequential([keras.Input((8,), name="a"), layers.Dense(4, name="score")])


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype("float32")


def test_losses_and_metrics_are_no_part_of_a_file(tmp_path: Path) -> None:
    model = dense_model()
    inner = keras.Model(model.inputs, model.outputs)
    model.compile("adam", loss=usual_loss, metrics=[usual_loss])
    inner.compile("sgd", loss={"score": usual_loss})
    inputs = keras.Input((8,), name="a")
    for compiled in (model, keras.Model(inputs, inner(inputs))):
        source = prepare(compiled)
        assert source.custom_objects.imported == ()
        assert source.custom_objects.pickled is None
    report = export(model, tmp_path / "a.onnx")
    assert report.verification.passed


def test_custom_objects_by_dictionary(tmp_path: Path) -> None:
    """The other documented way of registering: a name without a package."""
    inputs = keras.Input((8,), name="a")
    keras.saving.get_custom_objects()["Doubled"] = Doubled
    try:
        source = prepare(keras.Model(inputs, Doubled()(inputs)))
        save(source.model, source.custom_objects, tmp_path)
        del keras.saving.get_custom_objects()["Doubled"]
        loaded, backend = load(tmp_path)
    finally:
        keras.saving.get_custom_objects().pop("Doubled", None)
    assert backend == keras.backend.backend()
    x = array(2, 8)
    np.testing.assert_allclose(loaded(x), 2 * x, rtol=1e-6)


def test_layers_that_are_registered_nowhere_but_can_be_imported(tmp_path: Path) -> None:
    inputs = keras.Input((8,), name="a")
    source = prepare(keras.Model(inputs, Doubled()(inputs)))
    assert source.custom_objects.imported == (("Doubled", __name__, "Doubled"),)
    save(source.model, source.custom_objects, tmp_path)
    loaded, _ = load(tmp_path)
    del keras.saving.get_custom_objects()["Doubled"]
    np.testing.assert_allclose(loaded(array(2, 8)), 2 * array(2, 8), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "inputs", "outputs"),
    [
        (array(3, 8), ["inputs"], ["subclassed"]),
        ({"right": array(3, 4), "left": array(3, 8)}, ["right", "left"], ["total"]),
        ([array(3, 8), array(3, 2)], ["inputs_0", "inputs_1"], ["subclassed", "subclassed_1"]),
    ],
    ids=["array", "dictionary", "list"],
)
def test_subclassed_models(call: Any, inputs: list[str], outputs: list[str]) -> None:
    model = Subclassed(name="subclassed")
    expected = keras.tree.flatten(model(call))
    source = prepare(model)
    signature = source.signature()
    assert sorted(tensor.name for tensor in signature.inputs) == sorted(inputs)
    assert [tensor.name for tensor in signature.outputs] == outputs
    leaves = (
        call if isinstance(call, dict) else dict(zip(inputs, keras.tree.flatten(call), strict=True))
    )
    found = source.run(Samples(leaves, "given"))
    for value, name in zip(expected, outputs, strict=True):
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_subclassed_models_of_unknown_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have known inputs.*Call it once"):
        prepare(Subclassed())
    model = TwoArguments()
    model(array(2, 3), array(2, 3))
    with pytest.raises(ValueError, match="called with left, right"):
        prepare(model)


def test_models_that_keras_quantized_are_refused() -> None:
    inner = dense_model()
    inner.layers[-1].quantize("int8")
    inputs = keras.Input((8,), name="a")
    for model in (inner, keras.Model(inputs, inner(inputs))):
        with pytest.raises(ValueError, match=r"before `model.quantize`.*'score'.*int8"):
            prepare(model)


@keras.saving.register_keras_serializable("kzoo_tests")
class SmallTable(layers.Layer):
    """A table that no attribute tells the size of."""

    def build(self, ids_shape: Any) -> None:
        self.table = self.add_weight(shape=(1, 8), name="table")

    def call(self, ids: Any) -> Any:
        return ops.take(self.table, ids, axis=0)

    def compute_output_shape(self, ids_shape: Any) -> Any:
        return (*ids_shape, 8)


def test_default_ids_that_do_not_fit_ask_for_samples(tmp_path: Path) -> None:
    ids = keras.Input((6,), dtype="int32", name="ids")
    model = keras.Model(ids, SmallTable()(ids))
    with pytest.raises(ValueError, match="`samples` must be given for this model"):
        export(model, tmp_path / "a.tflite")
    report = export(model, tmp_path / "a.tflite", samples=np.zeros((2, 6), int))
    assert report.verification.outputs[0].weak


def test_users_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = dense_model()
    model.compile("adam", loss="mse")
    model.fit(array(8, 8), array(8, 4), verbose=0)
    subclassed = Subclassed()
    subclassed(array(2, 8))
    for given in (model, subclassed):
        before = state(given)
        export(given, tmp_path / "a.tflite")
        after = state(given)
        assert after.keys() == before.keys()
        for name, value in before.items():
            np.testing.assert_array_equal(after[name], value, err_msg=name)


def state(model: keras.Model) -> dict[str, Any]:
    optimizer = model.optimizer.variables if getattr(model, "optimizer", None) else []
    return {
        **{v.path: keras.ops.convert_to_numpy(v.value) for v in [*model.variables, *optimizer]},
        "nodes": [len(layer._inbound_nodes) for layer in [model, *model._flatten_layers()]],
        "trainable": [v.path for v in model.trainable_variables],
        "compiled": model.compiled,
    }
