"""The versions a file was made and verified with."""

import importlib.metadata
import platform

_DISTRIBUTIONS = {
    "tensorflow": ("tensorflow", "ai-edge-litert", "ai-edge-quantizer"),
    "torch": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "tf2onnx": ("tensorflow", "tf2onnx", "onnx", "onnxscript", "onnxruntime"),
}


def versions(route: str, backend: str) -> dict[str, str]:
    """Look up the versions of everything that shaped a file.

    Args:
        route: How the file was lowered.
        backend: The backend that computed the reference.

    Returns:
        Version by name.
    """
    found = {"python": platform.python_version(), "backend": backend}
    for name in ("keras", "kzoo", backend, *_DISTRIBUTIONS[route]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Run from a checkout, or installed under another name such as tensorflow-cpu.
            continue
    return found
