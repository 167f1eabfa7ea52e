"""Where the tests keep what takes long to compute, from one run to the next."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return a folder of this user's own, made if it does not exist."""
    folder = Path(tempfile.gettempdir(), f"kzoo-tests-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
