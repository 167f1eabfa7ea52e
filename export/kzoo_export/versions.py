"""The versions a file was made and verified with."""

import importlib.metadata
import platform

import keras

_DISTRIBUTIONS = {
    "tensorflow": ("tensorflow", "ai-edge-litert"),
    "torch": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "tf2onnx": ("tensorflow", "tf2onnx", "onnx", "onnxscript", "onnxruntime"),
}


def versions(route: str) -> dict[str, str]:
    """Look up the versions of everything that shaped a file.

    Args:
        route: How the file was lowered.

    Returns:
        Version by name; the backend is the one the reference was computed with.
    """
    found = {"python": platform.python_version(), "keras": keras.version()}
    found["backend"] = keras.backend.backend()
    for name in ("kzoo", found["backend"], *_DISTRIBUTIONS[route]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Run from a checkout, or installed under another name such as tensorflow-cpu.
            continue
    return found
