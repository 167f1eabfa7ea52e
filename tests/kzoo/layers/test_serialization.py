"""Configs follow from constructors, in subclasses too, and NumPy's scalars are numbers."""

import json
import re

import keras
import numpy as np
import pytest

from kzoo.layers import FeedForward, MultiHeadAttention, RotaryPositions, TransformerBlock
from kzoo.layers.serialization import serializable
from tests.arrays import to_numpy

HIDDEN = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")


@keras.saving.register_keras_serializable("test")
class Usual(FeedForward):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("test")
class Implied(MultiHeadAttention):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor


class Forgetful(FeedForward):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        (Usual, {"mlp_dim": 5, "activation": "relu"}),
        (Implied, {"num_heads": 2, "causal": True, "position": RotaryPositions(50.0)}),
    ],
)
def test_subclasses_keep_every_argument(layer, arguments, tmp_path):
    inputs = keras.Input((3, 8))
    model = keras.Model(inputs, layer(factor=2.0, **arguments, name="layer")(inputs))
    model.save(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for twin in (clone, keras.saving.load_model(tmp_path / "model.keras")):
        config = twin.get_layer("layer").get_config()
        assert config == model.get_layer("layer").get_config()
        assert config["factor"] == 2.0
        np.testing.assert_array_equal(to_numpy(twin(HIDDEN)), to_numpy(model(HIDDEN)))


def test_lost_argument_is_an_error():
    layer = Forgetful(factor=2.0, mlp_dim=4)
    with pytest.raises(NotImplementedError, match="must store the argument `factor`"):
        layer.get_config()


def test_numpy_scalars_are_numbers():
    attention = MultiHeadAttention(
        np.int64(2),
        causal=np.bool_(True),
        dropout=np.float32(0.5),
        position=RotaryPositions(np.float64(50.0), {"type": "linear", "factor": np.float32(2)}),
    )
    block = TransformerBlock(
        attention, FeedForward(np.int32(8)), residual=np.str_("pre"), norm_epsilon=np.float64(1e-5)
    )
    config = block.get_config()
    assert json.loads(json.dumps(config)) == config
    assert TransformerBlock.from_config(config).get_config() == config
    assert tuple(block(HIDDEN).shape) == HIDDEN.shape
    assert attention.make_cache(np.int64(2), np.int64(4))["key"].shape[1] == 4


def test_arrays_are_not_numbers():
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        MultiHeadAttention(np.array(2))
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        MultiHeadAttention(np.bool_(True))


@serializable
class Composite(keras.layers.Layer):
    """An attention of a user, whose weights are made when it is called."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.supports_masking = True
        self.dense = keras.layers.Dense(units)

    def call(self, inputs, mask=None):
        hidden = self.dense(inputs)
        return hidden if mask is None else hidden * keras.ops.cast(mask, hidden.dtype)[..., None]


def test_any_layer_with_the_right_call_is_a_part():
    block = TransformerBlock(Composite(8, name="attention"), keras.layers.Dense(8))
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    assert tuple(block(HIDDEN, mask=mask).shape) == HIDDEN.shape
    assert len(block.attention.weights) == 2
    assert all("attention/dense" in weight.path for weight in block.attention.weights)


class Positionless(keras.layers.Layer):
    def rotate(self, heads, positions):
        return heads


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TransformerBlock(keras.layers.MultiHeadAttention(2, 4), FeedForward(8)),
            "`attention` must be a layer that can be called with one tensor and nothing else",
        ),
        (
            lambda: TransformerBlock(MultiHeadAttention(2), keras.layers.MultiHeadAttention(2, 4)),
            "`feed_forward` must be a layer that can be called with one tensor and nothing else",
        ),
        (
            lambda: MultiHeadAttention(2, position=Positionless()),
            "`position` must have the methods rotate, bias, bias_range. Received: position=",
        ),
        (
            lambda: TransformerBlock(keras.layers.Dense(8), FeedForward(8))(
                HIDDEN, mask=np.ones((2, 3), bool)
            ),
            "`mask` must be None: `attention` does not take it",
        ),
        (
            lambda: TransformerBlock(Composite(8), FeedForward(8))(
                HIDDEN, document_ids=np.ones((2, 3), "int32")
            ),
            "`document_ids` must be None: `attention` does not take it",
        ),
    ],
)
def test_other_parts_are_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
