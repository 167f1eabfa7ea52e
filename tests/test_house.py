"""The ceilings that keep the code readable, and what a wheel must contain."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for folder in ("kzoo", "export", "tests") for path in (ROOT / folder).rglob("*.py")
)
# Tables are as long as what they list.
DATA_TABLES = {"presets.py"}
# Where attention picks the kernel of the backend.
KERNELS = {ROOT / "kzoo/layers/attention/functional.py", ROOT / "kzoo/training/fused.py"}
VAGUE_NAMES = {"utils.py", "common.py", "helpers.py", "misc.py"}


def test_there_are_sources() -> None:
    assert len(SOURCES) > 20


def named(paths) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_source_files_are_short_and_well_named() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    too_long = [p for p in SOURCES if p.name not in DATA_TABLES and lengths[p] > 300]
    assert named(too_long) == []
    assert named(path for path in SOURCES if path.name in VAGUE_NAMES) == []


def test_test_folders_are_packages() -> None:
    tests = [path for path in SOURCES if path.is_relative_to(ROOT / "tests")]
    assert named(path for path in tests if not (path.parent / "__init__.py").is_file()) == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("path", sorted((ROOT / "colab").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebook_is_thin_and_stored_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert 0 < len(code) <= 15
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


def test_importing_kzoo_and_listing_presets_needs_no_backend() -> None:
    script = (
        "import sys, kzoo; assert 'minilm_l6_v2' in kzoo.list_models();"
        "found = {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules);"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_zoo_imports_no_backend() -> None:
    """As import-linter does, and inside functions too."""
    for path in (ROOT / "kzoo").rglob("*.py"):
        modules = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
        forbidden = {m for m in modules if m.split(".")[0] in {"tensorflow", "jax", "torch"}}
        assert path in KERNELS or not forbidden, path
        assert not any(module.startswith("keras.src") for module in modules), path
