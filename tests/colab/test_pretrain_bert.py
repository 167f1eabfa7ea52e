"""The notebook that pretrains a BERT, run from top to bottom with fewer steps."""

import os
import re
import runpy

import nbformat
import pytest

import kzoo
from tests.colab.test_quickstart import ROOT, code_cells, printed

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("TPU", "jax on a TPU: mixed_bfloat16, 20,000 steps of 256 records"),
        ("GPU", "jax on a GPU: mixed_float16, 20,000 steps of 128 records"),
        ("CPU", "tensorflow on a CPU: float32, 400 steps of 16 records"),
    ],
)
def test_device_decides(monkeypatch, tmp_path, capsys, device, expected):
    import keras

    (tmp_path / "cell.py").write_text(code_cells(read())[1].source, "utf-8")
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.delenv("TPU_NAME", raising=False)
    if device == "TPU":
        monkeypatch.setenv("TPU_NAME", "local")
    monkeypatch.setattr("shutil.which", lambda name: name if device == "GPU" else None)
    monkeypatch.setattr(keras.config, "backend", lambda: os.environ["KERAS_BACKEND"])
    before = keras.config.dtype_policy()
    try:
        runpy.run_path(str(tmp_path / "cell.py"))
    finally:
        keras.config.set_dtype_policy(before)
    assert capsys.readouterr().out.strip() == expected


def test_notebook_ends_with_a_verified_file(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    pytest.importorskip("ai_edge_litert", reason="the notebook runs a TFLite file")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "export")]))
    notebook = read()
    settings = code_cells(notebook)[1]
    assert settings.source.count('"float32", 16, 400') == 1
    settings.source = settings.source.replace('"float32", 16, 400', '"float32", 8, 20')
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    output = "".join(map(printed, code_cells(notebook)))
    assert "20 steps of 8 records" in output
    assert re.search(r"held_out: [1-9]\d* records", output)
    assert re.search(r"masked accuracy 0\.\d{3}, always the commonest token 0\.\d{3}", output)
    assert "Verification passed" in output
    assert (tmp_path / "pretrained.tflite").is_file()
    loaded = kzoo.tasks.Pretraining.from_pretrained(tmp_path / "pretrained.keras")
    assert loaded.tokenizer.vocab_size == 2000


def read() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "colab" / "pretrain_bert.ipynb", as_version=4)
