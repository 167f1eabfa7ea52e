"""What an exported file must be: its format, its route and the static signature of its graph."""

import dataclasses
import difflib
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class ExportError(RuntimeError):
    """An export that could not be completed. No file is left behind."""


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One named input or output of an exported graph, every axis static."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Spec:
    """The static signature of a file, and how it is made.

    Inputs and outputs are in the documented order of the file, batch axis first.
    """

    format: str
    route: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    portable: bool = False

    @property
    def batch_size(self) -> int:
        """The static batch axis of the file."""
        return self.inputs[0].shape[0]

    def to_dict(self) -> dict[str, Any]:
        """Describe the spec with JSON types only."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Spec":
        """Rebuild a spec from `to_dict`.

        Args:
            fields: What `to_dict` returned, possibly after a trip through JSON.

        Returns:
            The equal spec.
        """
        tensors = {
            side: tuple(
                TensorSpec(tensor["name"], tuple(tensor["shape"]), tensor["dtype"])
                for tensor in fields[side]
            )
            for side in ("inputs", "outputs")
        }
        return cls(**{**fields, **tensors})


@dataclasses.dataclass(frozen=True)
class Route:
    """A way to lower a Keras model: the backend of the child process and what it needs."""

    format: str
    backend: str
    modules: tuple[str, ...]
    extra: str = "export"


# The first route of a format is its default.
ROUTES = {
    "tensorflow": Route("tflite", "tensorflow", ("tensorflow",)),
    "torch": Route("onnx", "torch", ("torch", "onnx", "onnxscript"), extra="torch,export"),
    "tf2onnx": Route("onnx", "tensorflow", ("tensorflow", "tf2onnx", "onnx", "onnxscript")),
}

# What runs a file of each format: the artefact is verified with nothing else.
RUNTIMES = {"tflite": ("ai_edge_litert",), "onnx": ("onnx", "onnxruntime")}


def close_matches(name: str, known: Iterable[str]) -> str:
    """Say what a misspelt name could have meant.

    Args:
        name: The unknown name.
        known: The names that exist.

    Returns:
        A sentence that names the closest names, or all of them.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, cutoff=0.5)
    return f"Did you mean: {', '.join(close)}?" if close else f"Known: {', '.join(known)}."


def format_of(path: str | Path) -> str:
    """Read the format of an artefact off its suffix.

    Args:
        path: Where the artefact is or will be.

    Returns:
        `"tflite"` or `"onnx"`.

    Raises:
        ValueError: If the suffix is neither.
    """
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in RUNTIMES:
        expected = " or ".join(f"`.{name}`" for name in RUNTIMES)
        raise ValueError(f"`path` must end in {expected}. Received: path={str(path)!r}")
    return suffix


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
    require(ROUTES[chosen].modules, ROUTES[chosen].extra, f"the route {chosen!r}")
    require(RUNTIMES[format], "export", f"running .{format} files")
    return chosen


def require(modules: Iterable[str], extra: str, purpose: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        modules: Importable names.
        extra: The extra of `kzoo` that installs them.
        purpose: What they are needed for, for the message.

    Raises:
        ImportError: If one is missing; the message names the extra.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{purpose[0].upper()}{purpose[1:]} needs {', '.join(missing)}, not installed here. "
            f'Install it with: pip install "kzoo[{extra}]"'
        )
