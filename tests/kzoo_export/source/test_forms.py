"""Models trained in half precision ship the float32 form of their weights."""

from pathlib import Path

import keras
import numpy as np
import pytest

import kzoo
from kzoo_export import export, verify
from kzoo_export.source.forms import in_float32
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo_export import models

pytestmark = pytest.mark.once

POLICIES = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


def trained(policy: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32,), name="x")
    hidden = keras.layers.Dense(64, activation="gelu", dtype=policy)(inputs)
    return keras.Model(inputs, keras.layers.Dense(4, dtype=policy, name="y")(hidden))


@pytest.mark.parametrize("policy", POLICIES)
def test_float32_form_has_the_same_weights(policy: str) -> None:
    model = trained(policy)
    precise, found = in_float32(model)
    assert found == policy
    assert {layer.compute_dtype for layer in precise.layers} == {"float32"}
    for weight, expected in zip(precise.weights, model.weights, strict=True):
        assert weight.dtype == "float32"
        kept = keras.ops.convert_to_numpy(expected).astype("float32")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), kept)


def test_models_of_the_zoo_in_half_precision(tmp_path: Path) -> None:
    backbone = kzoo.models.BertBackbone(tiny_backbone().config, dtype="mixed_bfloat16")
    precise, found = in_float32(backbone)
    assert found == "mixed_bfloat16"
    assert precise.get_layer(index=-1).compute_dtype == "float32"


def test_float32_models_are_taken_as_they_are() -> None:
    model = models.two_in_two_out()
    assert in_float32(model) == (model, None)


def test_export_says_so(tmp_path: Path) -> None:
    model = trained("mixed_bfloat16")
    report = export(model, tmp_path / "a.tflite")
    assert any("mixed_bfloat16" in warning for warning in report.warnings)
    assert verify(tmp_path / "a.tflite", model).passed
