"""The same weights exported from TensorFlow, JAX and PyTorch give the same file."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo_export import export_all
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.source.prepare import prepare
from kzoo_export.spec import Signature
from tests.kzoo.models.tiny import tiny_backbone

LENGTH = 16
BACKENDS = ("tensorflow", "jax", "torch")
# The same converter reads the same weights, so the files could only differ if a backend changed
# the weights or the graph on the way; 1e-6 is the rounding of one float32 sum.
LIMIT = 1e-6

EXPORT = """
import json, sys
import keras, kzoo.models.bert.model
from kzoo_export import export_all
source, targets = sys.argv[1], json.loads(sys.argv[2])
export_all(keras.saving.load_model(source), targets, length=16)
"""


@pytest.mark.once
def test_same_weights_give_the_same_file_from_every_backend(tmp_path: Path) -> None:
    model = tiny_backbone()
    source = tmp_path / "model.keras"
    model.save(source)
    formats = {"tflite": "float16", "onnx": "float32"}
    targets = {
        backend: {str(tmp_path / backend / f"a.{f}"): recipe for f, recipe in formats.items()}
        for backend in BACKENDS
    }
    for backend in BACKENDS:
        (tmp_path / backend).mkdir()
    here = keras.backend.backend()
    with contextlib.ExitStack() as stack:
        # Side by side: each waits for its own child processes most of the time.
        others = [
            stack.enter_context(_start(backend, source, targets[backend]))
            for backend in BACKENDS
            if backend != here
        ]
        export_all(model, targets[here], length=LENGTH)
        for other in others:
            output, _ = other.communicate(timeout=300)
            assert other.returncode == 0, output
    for format in formats:
        runners = [load(tmp_path / backend / f"a.{format}") for backend in BACKENDS]
        signature = Signature(runners[0].inputs, runners[0].outputs)
        samples = prepare(model).reader(signature, seed=1).default().arrays
        first, *rest = (run_batches(runner, samples) for runner in runners)
        for outputs in rest:
            for name, expected in first.items():
                np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=LIMIT)


def _start(backend: str, source: Path, targets: dict[str, str]) -> subprocess.Popen[str]:
    search = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", EXPORT, str(source), json.dumps(targets)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
