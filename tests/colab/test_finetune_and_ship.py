"""The notebook that fine-tunes a classifier, run from top to bottom on a small table and model."""

import csv
import os
import re

import nbformat
import pytest

from kzoo_export import load_classifier
from tests.colab.test_quickstart import ROOT, code_cells, printed
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters

pytestmark = pytest.mark.once

SMALLER = {
    "6_000": "80",
    '"minilm_l6_v2"': '"tiny.keras"',
    "learning_rate=1e-4": "learning_rate=5e-3",
}


def test_notebook_ends_with_the_labels_of_its_file(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    pytest.importorskip("ai_edge_litert", reason="the notebook runs a TFLite file")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "export")]))
    texts, labels = letters(200)
    with (tmp_path / "tweets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentiment", "confidence", "text"])
        for row, label in enumerate(labels):
            writer.writerow([label, 1, f"{texts[row]} {row:b}"])
    tiny_backbone(with_tokenizer=True).save(tmp_path / "tiny.keras")
    notebook = nbformat.read(ROOT / "colab" / "finetune_and_ship.ipynb", as_version=4)
    for cell in code_cells(notebook):
        for real, small in SMALLER.items():
            cell.source = cell.source.replace(real, small)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    output = "".join(map(printed, code_cells(notebook)))
    assert "80 texts to train on, 40 to measure on" in output
    accuracy = re.search(r"accuracy (0\.\d{4})", output)
    assert accuracy
    assert re.search(rf"logits +accuracy +40 +{accuracy[1]} ", output)
    found = load_classifier(tmp_path / "sentiment.tflite").predict(["What a wonderful day!"])
    assert f"{found.labels[0]}  {found.probabilities.max():.2f}  What a wonderful" in output
