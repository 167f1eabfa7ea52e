"""After `import kzoo` alone Keras finds every class by its name, and nothing else is imported."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kzoo
from kzoo.models import TransformerLM, TransformerLMConfig
from kzoo.registration import CLASSES, StandIn
from tests.arrays import graph_inputs, to_numpy
from tests.kzoo.layers.cases import CASES
from tests.kzoo.models.tiny import tiny_backbone

START = """
import importlib.util, sys
import kzoo
assert "keras" not in sys.modules
assert importlib.util.find_spec("keras").name == "keras"  # many libraries ask before they import
import keras
packages = ("kzoo.layers", "kzoo.models.", "kzoo.tasks")
found = {name for name in sys.modules if name.startswith(packages)}
assert found == {"kzoo.models.families"}, found
assert type(keras.__loader__).__module__ != "kzoo.registration"
"""
LOAD_ALL = """
import pathlib, numpy
for path in pathlib.Path().glob("*.keras"):
    inputs = dict(numpy.load(path.with_suffix(".inputs.npz")))
    outputs = keras.tree.flatten(keras.saving.load_model(path)(inputs))
    arrays = (keras.ops.convert_to_numpy(keras.ops.stop_gradient(output)) for output in outputs)
    numpy.savez(path.with_suffix(".loaded.npz"), *arrays)
"""
REGISTERED = "assert 'kzoo>BertBackbone' in keras.saving.get_custom_objects()"


def run(script: str, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=True)


def every_layer() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Return one model of every case of every layer, and its inputs."""
    arrays = {
        f"{name}_{argument}": array
        for name, case in CASES.items()
        for argument, array in case.inputs.items()
    }
    inputs = graph_inputs(arrays)
    outputs = {
        name: case.make(name=name)(**{key: inputs[f"{name}_{key}"] for key in case.inputs})
        for name, case in CASES.items()
    }
    return keras.Model(inputs, outputs), arrays


@pytest.mark.once
def test_every_file_is_read_after_import_kzoo_alone(tmp_path: Path) -> None:
    ids = np.array([[5, 6, 7, 8]], "int32")
    backbone = tiny_backbone()
    text = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids}
    language_model = TransformerLM(TransformerLMConfig(9, num_layers=1, hidden_dim=8, mlp_dim=8))
    models: dict[str, tuple[keras.Model, dict[str, Any]]] = {
        "layers": every_layer(),
        "classifier": (
            keras.Model(backbone.input, keras.layers.Dense(2)(backbone.output["pooled"])),
            text,
        ),
        "encoder": (kzoo.tasks.SentenceEncoder(backbone), text),
        "language_model": (language_model, dict.fromkeys(language_model.input, ids)),
    }
    for name, (model, inputs) in models.items():
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.inputs.npz", **inputs)
    run(START + LOAD_ALL, tmp_path)
    for name, (model, inputs) in models.items():
        expected = [to_numpy(output) for output in keras.tree.flatten(model(inputs))]
        with np.load(tmp_path / f"{name}.loaded.npz") as loaded:
            assert len(loaded.files) == len(expected)
            for file, array in zip(loaded.files, expected, strict=True):
                np.testing.assert_array_equal(loaded[file], array)


@pytest.mark.once
@pytest.mark.parametrize(
    "imports", ["keras, kzoo", "kzoo, keras", "kzoo.layers, keras", "kzoo.tasks, keras"]
)
def test_in_whatever_order_things_are_imported(imports: str, tmp_path: Path) -> None:
    run(f"import {imports}\n{REGISTERED}", tmp_path)


@pytest.mark.once
def test_table_names_every_registered_class() -> None:
    for package in CLASSES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            importlib.import_module(module.name)
    registered = {
        name: value
        for name, value in keras.saving.get_custom_objects().items()
        if name.startswith("kzoo>") and value.__module__.startswith("kzoo.")  # not of other tests
    }
    assert registered == {
        f"kzoo>{name}": getattr(importlib.import_module(module), name)
        for module, names in CLASSES.items()
        for name in names
    }


@pytest.mark.once
def test_stand_in_is_used_like_the_class() -> None:
    stand_in = StandIn("kzoo.layers", "NoNorm")
    assert stand_in(name="norm").name == "norm"
    assert stand_in.from_config({"name": "norm"}).name == "norm"
    assert not hasattr(stand_in, "missing")
    assert repr(stand_in) == "<class 'kzoo.layers.NoNorm', not imported yet>"
