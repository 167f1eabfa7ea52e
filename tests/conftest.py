"""Choose the backend of this test process, and what runs on it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache import cache_folder

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile hundreds of tiny programs once each: optimizing them takes longer than running them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# And what one worker has compiled, the others read.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# The backends whose runs also execute the tests that need no particular backend, by their folder:
# PyTorch, which compiles nothing, is quickest, but must not share a process with TensorFlow, which
# tests of the exporter import.
ONCE_BACKENDS = {"tests/kzoo/": "torch", "tests/": "jax"}


def pytest_report_header() -> str:
    return f"keras backend: {os.environ['KERAS_BACKEND']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave each test marked `once` to a single backend's run, and start with the exports.

    An export takes longest: last, it would keep one worker busy while the others have no work.
    """
    items.sort(key=lambda item: not item.nodeid.startswith("tests/kzoo_export"))
    here = {id(item): _runs_here(item) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not here[id(item)]])
    items[:] = [item for item in items if here[id(item)]]


def _runs_here(item: pytest.Item) -> bool:
    """Tell whether a test is one of this backend's run."""
    backend = next(each for path, each in ONCE_BACKENDS.items() if item.nodeid.startswith(path))
    return not item.get_closest_marker("once") or os.environ["KERAS_BACKEND"] == backend


@pytest.fixture(scope="session", autouse=True)
def quick_children() -> Iterator[None]:
    """Spare the children of exports the import of their framework."""
    from tests.kzoo_export.preload import preloaded

    with tempfile.TemporaryDirectory() as folder, preloaded(Path(folder)):
        yield
