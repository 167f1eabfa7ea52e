"""The child process of an export: `python -m kzoo_export.lowering JOB_FOLDER`."""

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any

from kzoo_export.lowering import (
    CALIBRATION_FILE,
    CLASSES_FILE,
    FAILURE_FILE,
    JOB_FILE,
    MODEL_FILE,
    PROGRESS,
    Job,
)
from kzoo_export.recipe import Recipe


def main(folder: Path) -> int:
    """Do the job in a folder.

    Args:
        folder: The job folder.

    Returns:
        The exit status: 0, or 1 with the failure written beside the job.
    """
    try:
        _run(Job.from_dict(json.loads((folder / JOB_FILE).read_text())), folder)
    except Exception as error:
        traceback.print_exc()
        failure = {"type": type(error).__name__, "message": str(error)}
        (folder / FAILURE_FILE).write_text(json.dumps(failure))
        return 1
    return 0


def _run(job: Job, folder: Path) -> None:
    """Load, lower once, then make the file of every target."""
    _report("load")
    model = _load(job, folder)
    _report("lower")
    lowered = _lower(model, job, folder)
    calibration = _calibration(folder)
    package = f"kzoo_export.{job.spec.format}"
    for name, fields in job.targets.items():
        recipe = Recipe.from_dict(fields)
        _report(recipe.name)
        if recipe.name == "float32":
            convert = importlib.import_module(f"{package}.convert").convert
            convert(lowered, folder / name, job.spec)
        else:
            quantize = importlib.import_module(f"{package}.quantize").quantize
            quantize(lowered, folder / name, job.spec, recipe, calibration)
    _report("done")


def _load(job: Job, folder: Path) -> Any:
    """Load the model in safe mode, the user's classes first."""
    import keras

    for module in job.modules:
        importlib.import_module(module)
    if (folder / CLASSES_FILE).is_file():
        import cloudpickle

        # Written a moment ago by the parent process, from the user's own live classes.
        for registered_name, value in cloudpickle.loads((folder / CLASSES_FILE).read_bytes()):
            package, name = registered_name.split(">", 1)
            keras.saving.register_keras_serializable(package, name)(value)
    return keras.saving.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)


def _lower(model: Any, job: Job, folder: Path) -> Path:
    """Run the route on the plain static form of the model."""
    from kzoo.layers import static_graph

    route = importlib.import_module(f"kzoo_export.lowering.{job.spec.route}")
    with static_graph():
        return route.lower(model, job.spec, folder)


def _calibration(folder: Path) -> dict[str, Any] | None:
    """Read the calibration samples, where the parent wrote some."""
    import numpy as np

    path = folder / CALIBRATION_FILE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _report(step: str) -> None:
    """Tell the parent which step begins."""
    sys.stdout.write(f"\n{PROGRESS}{step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
