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

# The backend whose run also executes the tests that need no particular backend.
ONCE_BACKEND = "jax"


def pytest_report_header() -> str:
    return f"keras backend: {os.environ['KERAS_BACKEND']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests marked `once` to a single backend's run, and start with the exports.

    An export takes longest: last, it would keep one worker busy while the others have no work.
    """
    items.sort(key=lambda item: not item.nodeid.startswith("tests/kzoo_export"))
    if os.environ["KERAS_BACKEND"] == ONCE_BACKEND:
        return
    once = [item for item in items if item.get_closest_marker("once")]
    config.hook.pytest_deselected(items=once)
    items[:] = [item for item in items if not item.get_closest_marker("once")]


@pytest.fixture(scope="session", autouse=True)
def quick_children() -> Iterator[None]:
    """Spare the children of exports the import of their framework."""
    from tests.kzoo_export.preload import preloaded

    with tempfile.TemporaryDirectory() as folder, preloaded(Path(folder)):
        yield
