"""The routes: ways to lower a Keras model to a format, and what parent and child agree on.

The parent (`process.lowering`) writes a `Spec` to `spec.json` in a job folder; the child
(`python -m kzoo_export.lowering SOURCE_FOLDER JOB_FOLDER`) writes the file of the format beside it.
The child prints progress as lines of `PROGRESS`, a step and the time at which it begins;
everything else it prints is kept for errors. A failure it can explain is written to `failure.json`.
"""

import dataclasses

from kzoo.arguments import require_packages
from kzoo_export.spec import RUNTIMES

SPEC_FILE = "spec.json"
FAILURE_FILE = "failure.json"
PROGRESS = "kzoo-progress "


@dataclasses.dataclass(frozen=True)
class Route:
    """A way to lower a Keras model: the backend of the child process and what it needs."""

    format: str
    backend: str
    packages: tuple[str, ...]
    extra: str


# The first route of a format is its default.
ROUTES = {
    "tensorflow": Route("tflite", "tensorflow", ("tensorflow",), "tflite"),
    "torch": Route("onnx", "torch", ("torch", "onnx", "onnxscript"), "onnx"),
    "tf2onnx": Route(
        "onnx", "tensorflow", ("tensorflow", "tf2onnx", "onnx", "onnxscript"), "export"
    ),
}


def choose_route(format: str, route: str | None = None) -> str:
    """Pick the route of a format. There is no fallback: a missing package is an error.

    Args:
        format: `"tflite"` or `"onnx"`.
        route: A route's name, or `None` for the format's default.

    Returns:
        The route's name, with everything it needs installed.

    Raises:
        ValueError: If the route is unknown or makes another format.
    """
    names = [name for name, value in ROUTES.items() if value.format == format]
    chosen = names[0] if route is None else route
    if chosen not in names:
        raise ValueError(
            f"`route` must be a route to {format}: {', '.join(names)}. Received: route={route!r}"
        )
    require_packages(ROUTES[chosen].packages, ROUTES[chosen].extra, f"the route {chosen!r}")
    require_packages(RUNTIMES[format], format, f"running .{format} files")
    return chosen


def file_name(format: str) -> str:
    """Name the file that a child writes into its job folder."""
    return f"float32.{format}"
