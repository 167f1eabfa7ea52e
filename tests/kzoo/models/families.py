"""The families that tests enumerate: those with a converter, and small configs of each."""

import dataclasses
from typing import Any

import numpy as np

from kzoo.models.families import FAMILIES, Family
from kzoo.models.heads import CLASSIFIERS

CONVERTED = {name: family for name, family in FAMILIES.items() if family.converter is not None}
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "tanh")


def small_config(family: Family, **sizes: Any) -> Any:
    """Return a config of the family that any test can afford, its other fields the defaults."""
    small = {
        "vocab_size": 40,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 24,
        "mlp_dim": 20,
        "max_length": 12,
    }
    known = {field.name for field in dataclasses.fields(family.config_class)}
    used = {name: value for name, value in {**small, **sizes}.items() if name in known}
    return family.config_class(**used)


def random_config(family: Family, seed: int) -> Any:
    """Draw the sizes of a small model, and its activation."""
    random = np.random.default_rng(seed)
    heads = int(random.integers(1, 4))
    epsilon = float(random.choice([1e-12, 1e-5]))
    # DistilBERT's is fixed.
    settings = {"norm_epsilon": epsilon} if "norm_epsilon" in family.converter.fields else {}
    return small_config(
        family,
        vocab_size=int(random.integers(10, 60)),
        num_layers=int(random.integers(1, 4)),
        num_heads=heads,
        hidden_dim=heads * int(random.integers(2, 10)),
        mlp_dim=int(random.integers(3, 50)),
        max_length=int(random.integers(20, 40)),
        activation=ACTIVATIONS[seed % len(ACTIVATIONS)],
        **settings,
    )


def random_model(name: str, seed: int, head: str = "backbone") -> dict[str, Any]:
    """Ask Hugging Face for a model of a random config, for `tests.huggingface`."""
    converter = CONVERTED[name].converter
    labels = ("one", "two", "three") if head in CLASSIFIERS else ()
    config = converter.write_config(random_config(CONVERTED[name], seed), head, labels)
    (architecture,) = config.pop("architectures")
    return {"class": architecture, "config": config}
