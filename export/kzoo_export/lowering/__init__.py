"""Lowering: from a saved Keras model to one float32 file, in a process of its own.

The parent (`process.lower`) writes a `Spec` to `spec.json` in a job folder; the child
(`python -m kzoo_export.lowering SOURCE_FOLDER JOB_FOLDER`) writes the file of the format beside it.
The child prints progress as lines that start with `PROGRESS`; everything else it prints is kept for
errors. A failure it can explain is written to `failure.json`.
"""

SPEC_FILE = "spec.json"
FAILURE_FILE = "failure.json"
PROGRESS = "kzoo-progress "


def file_name(format: str) -> str:
    """Name the file that a child writes into its job folder."""
    return f"float32.{format}"
