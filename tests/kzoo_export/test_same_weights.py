"""The same weights exported from TensorFlow, JAX and PyTorch give the same file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import artefact, export_all
from kzoo_export.signature import make_reader
from tests.kzoo_export import models

BACKENDS = ("tensorflow", "jax", "torch")
# The same converter reads the same weights, so the files could only differ if a backend changed
# the weights or the graph on the way; 1e-6 is the rounding of one float32 sum.
LIMIT = 1e-6

EXPORT = """
import json, sys
import keras, keras_hub
from kzoo_export import export_all
source, targets = sys.argv[1], json.loads(sys.argv[2])
export_all(keras.saving.load_model(source), targets, length=12)
"""


@pytest.mark.once
def test_same_weights_give_the_same_file_from_every_backend(tmp_path: Path) -> None:
    model = models.kerashub_bert()
    source = tmp_path / "model.keras"
    model.save(source)
    formats = {"tflite": "dynamic_int8", "onnx": "float32"}
    for backend in BACKENDS:
        (tmp_path / backend).mkdir()
        targets = {str(tmp_path / backend / f"a.{f}"): recipe for f, recipe in formats.items()}
        if backend == keras.backend.backend():
            export_all(model, targets, length=models.LENGTH)
            continue
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-c", EXPORT, str(source), json.dumps(targets)]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    for format in formats:
        runners = [artefact.load(tmp_path / backend / f"a.{format}") for backend in BACKENDS]
        samples = make_reader(model, runners[0].inputs, seed=1).default().arrays
        first, *others = (artefact.run_batches(runner, samples) for runner in runners)
        for other in others:
            for name, expected in first.items():
                np.testing.assert_allclose(other[name], expected, rtol=0, atol=LIMIT)
