"""Lowering: from a saved Keras model to a graph of the format, in a process of its own.

A job is a folder. The parent writes `model.keras`, `job.json` (a `Job`), `calibration.npz` where a
recipe calibrates and `classes.pickle` where the user's classes cannot be imported; the child
(`python -m kzoo_export.lowering FOLDER`) writes each target's file into it. The child prints
progress as lines that start with `PROGRESS`; everything else it prints is kept for errors. A
failure it can explain is written to `failure.json`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kzoo_export.spec import Spec

MODEL_FILE = "model.keras"
JOB_FILE = "job.json"
CALIBRATION_FILE = "calibration.npz"
CLASSES_FILE = "classes.pickle"
FAILURE_FILE = "failure.json"
PROGRESS = "kzoo-progress "


@dataclasses.dataclass(frozen=True)
class Job:
    """What a child makes: one file for each recipe, from one lowered graph.

    `targets` maps the file's name in the job folder to the recipe's fields, `modules` are imported
    first so that the user's classes are registered.
    """

    spec: Spec
    targets: Mapping[str, Mapping[str, Any]]
    modules: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Describe the job with JSON types only."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Job":
        """Rebuild a job from `to_dict`.

        Args:
            fields: What `to_dict` returned, possibly after a trip through JSON.

        Returns:
            The equal job.
        """
        spec = Spec.from_dict(fields["spec"])
        return cls(spec=spec, targets=fields["targets"], modules=tuple(fields["modules"]))
