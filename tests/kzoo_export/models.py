"""Models of every kind the exporter takes, as small as the converters let them be.

TFLite leaves matrices of less than 1024 numbers alone, so widths are at least 32.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo.models import TransformerLM, TransformerLMConfig
from tests.kzoo.models.families import CONVERTED, small_config

LENGTH = 12
VOCAB_SIZE = 50

# A layer in a module of the user's own, as it would be in a project that uses the exporter.
USER_MODULE = '''
import keras


@keras.saving.register_keras_serializable("user_layers")
class Gated(keras.layers.Layer):
    """Multiplies one projection of its input by the sigmoid of another."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.value = keras.layers.Dense(units)
        self.gate = keras.layers.Dense(units, activation="sigmoid")

    def call(self, inputs):
        return self.value(inputs) * self.gate(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
'''


def kerashub_bert() -> keras.Model:
    """Three integer inputs with open axes, two named outputs, layers of another library."""
    import keras_hub

    keras.utils.set_random_seed(1)
    return keras_hub.models.BertBackbone(
        vocabulary_size=VOCAB_SIZE,
        num_layers=2,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=64,
        max_sequence_length=LENGTH,
    )


def transformer_lm() -> keras.Model:
    """Causal attention, one integer input and two outputs with open axes."""
    keras.utils.set_random_seed(5)
    config = TransformerLMConfig(vocab_size=VOCAB_SIZE, num_heads=2, hidden_dim=32, mlp_dim=64)
    return TransformerLM(config)


def image_classifier() -> keras.Model:
    """One image input with a fixed size, one output: what a sequential model has."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, name="logits"),
        ]
    )


def two_in_two_out() -> keras.Model:
    """Inputs and outputs in lists, the inputs of different dtypes and not in alphabetical order."""
    keras.utils.set_random_seed(3)
    words = keras.Input((LENGTH,), dtype="int32", name="words")
    numbers = keras.Input((32,), name="numbers")
    embedded = keras.layers.Embedding(VOCAB_SIZE, 32)(words)
    joined = keras.layers.Concatenate()([keras.ops.mean(embedded, axis=1), numbers])
    hidden = keras.layers.Dense(64, activation="gelu")(joined)
    outputs = [
        keras.layers.Dense(8, name="topic")(hidden),
        keras.layers.Dense(1, name="age")(hidden),
    ]
    return keras.Model([words, numbers], outputs)


def user_layers(folder: Path) -> keras.Model:
    """A layer of the user's own, registered, from a module of the user's own."""
    (folder / "user_layers.py").write_text(USER_MODULE)
    sys.path.insert(0, str(folder))
    sys.modules.pop("user_layers", None)
    gated = importlib.import_module("user_layers").Gated
    keras.utils.set_random_seed(4)
    inputs = keras.Input((32,), name="features")
    return keras.Model(inputs, keras.layers.Dense(5, name="score")(gated(64)(inputs)))


def bert_samples(num_rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows of different lengths, as a tokenizer makes them."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, LENGTH + 1, num_rows)
    mask = np.arange(LENGTH) < lengths[:, None]
    return {
        "token_ids": np.where(mask, random.integers(1, VOCAB_SIZE, mask.shape), 0),
        "segment_ids": np.zeros(mask.shape, "int32"),
        "padding_mask": mask,
    }


def family_model(name: str) -> Any:
    """A family's backbone, just wide enough for weights that recipes make smaller."""
    family = CONVERTED[name]
    keras.utils.set_random_seed(0)
    sizes = {"vocab_size": 400, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}
    return family.backbone_class(small_config(family, **sizes, max_length=32))
