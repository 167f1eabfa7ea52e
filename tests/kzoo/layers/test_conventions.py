"""The check of conventions can fail: a layer with any of these faults is caught."""

import itertools
from typing import Any

import keras
import pytest

from kzoo.layers import LayerNorm, MeanPooling, MultiHeadAttention
from kzoo.layers.serialization import serializable
from tests.conventions import check_conventions
from tests.kzoo.layers.cases.case import HIDDEN

count = itertools.count(1)


@keras.saving.register_keras_serializable("faults")
class Sound(LayerNorm):
    pass


@keras.saving.register_keras_serializable("faults")
class DeafToMasks(MeanPooling):
    def call(self, hidden, padding_mask=None, mask=None):
        return super().call(hidden, padding_mask)


@keras.saving.register_keras_serializable("faults")
class AttendsToPadding(MultiHeadAttention):
    def call(self, query, context=None, mask=None):
        return super().call(query, context)


@keras.saving.register_keras_serializable("faults")
class DropsTheMask(LayerNorm):
    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("faults")
class CarriesOnTooMuch(MeanPooling):
    def compute_mask(self, hidden, previous_mask):
        return previous_mask


@keras.saving.register_keras_serializable("faults")
class LosesArguments(LayerNorm):
    @classmethod
    def from_config(cls, config):
        return cls(epsilon=config["epsilon"], name=config["name"], dtype=config["dtype"])


@keras.saving.register_keras_serializable("faults")
class HidesState(LayerNorm):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden_state = float(next(count))

    def call(self, inputs):
        return super().call(inputs) * self.hidden_state


@keras.saving.register_keras_serializable("faults")
class KeepsNumPy(keras.layers.Layer):
    def __init__(self, factor=0.5, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.supports_masking = True

    def call(self, inputs):
        return inputs * float(self.factor)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@serializable
class ChangesArguments(keras.layers.Layer):
    def __init__(self, factor=0.5, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor + 1
        self.supports_masking = True

    def call(self, inputs):
        return inputs * self.factor


def check(layer: keras.layers.Layer, folder: Any) -> None:
    inputs = {"hidden" if isinstance(layer, MeanPooling) else "inputs": HIDDEN}
    if isinstance(layer, MultiHeadAttention):
        inputs = {"query": HIDDEN}
    layer(**inputs)
    check_conventions(layer, inputs, folder)


def test_what_is_sound_passes(tmp_path):
    check(Sound(), tmp_path)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (DeafToMasks, "check_masks"),
        (lambda: AttendsToPadding(2), "check_masks"),
        (DropsTheMask, "check_masks"),
        (CarriesOnTooMuch, "check_masks"),
        (LosesArguments, "check_subclass"),
        (HidesState, "check_clone"),
        (KeepsNumPy, "check_numpy_arguments"),
        (ChangesArguments, "check_clone"),
    ],
)
def test_fault_is_caught(make, where, tmp_path):
    layer = make()
    with pytest.raises((AssertionError, TypeError)) as caught:
        check(layer, tmp_path)
    assert where in [entry.name for entry in caught.traceback]
