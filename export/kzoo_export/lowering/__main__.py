"""The child process: `python -m kzoo_export.lowering SOURCE_FOLDER JOB_FOLDER`."""

import importlib
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path

from kzoo_export.errors import root_cause
from kzoo_export.lowering.routes import FAILURE_FILE, PROGRESS, SPEC_FILE, file_name
from kzoo_export.spec import Spec


def main(source_folder: Path, folder: Path) -> int:
    """Lower the model of one folder as the other one says.

    Args:
        source_folder: What `kzoo_export.source.saving.save` wrote.
        folder: The job folder.

    Returns:
        The exit status: 0, or 1 with the failure written beside the job.
    """
    try:
        _run(source_folder, folder)
    except Exception as error:
        traceback.print_exc()
        reason = root_cause(error)
        failure = {"type": type(reason).__name__, "message": str(reason)}
        (folder / FAILURE_FILE).write_text(json.dumps(failure))
        return 1
    return 0


def _run(source_folder: Path, folder: Path) -> None:
    """Load the model, and run the route on the plain graph of its layers."""
    spec = Spec.from_dict(json.loads((folder / SPEC_FILE).read_text()))
    _report("load")
    from kzoo.layers import static_graph
    from kzoo_export.lowering.keras_forms import computing_as
    from kzoo_export.source.saving import load

    *loaded, backend = load(source_folder)
    _report("lower")
    route = importlib.import_module(f"kzoo_export.lowering.{spec.route}")
    with static_graph(), computing_as(backend):
        # Nobody else holds the model: a route can let go of it.
        route.lower(loaded.pop(), spec, folder / file_name(spec.format))
    _report("done")


def _end_with_parent() -> None:
    """End this process when its standard input does: its parent was killed."""
    os.read(0, 1)
    os._exit(1)


def _report(step: str) -> None:
    """Tell the parent which step begins."""
    sys.stdout.write(f"\n{PROGRESS}{step} {time.time()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
