"""Safetensors files in a folder."""

import json
import pathlib

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights of a folder: one `model.safetensors`, or the shards of its index.

    Args:
        folder: A folder in the Hugging Face layout.

    Returns:
        Arrays by name; bfloat16 ones as float32, which holds the same numbers.

    Raises:
        ValueError: If the folder has no safetensors, its files are damaged, or their numbers are of
            a kind that NumPy does not have.
    """
    tensors: dict[str, np.ndarray] = {}
    for path in _files(folder):
        try:
            found = safetensors.numpy.load_file(path)
        # The library raises the latter two for dtypes that it does not know, such as float8.
        except (OSError, safetensors.SafetensorError, AttributeError, TypeError) as error:
            raise ValueError(
                f"The weights file cannot be read ({error}). Received: {path}"
            ) from error
        for name, tensor in found.items():
            is_short = tensor.dtype == ml_dtypes.bfloat16
            tensors[name] = tensor.astype("float32") if is_short else tensor
    return tensors


def write_tensors(tensors: dict[str, np.ndarray], folder: pathlib.Path) -> None:
    """Write `model.safetensors`.

    Args:
        tensors: Arrays by name.
        folder: An existing folder.
    """
    dense = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    # Readers ask for the framework whose layout the arrays have.
    safetensors.numpy.save_file(dense, folder / SINGLE, metadata={"format": "pt"})


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _shards(folder)
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise ValueError(
            f"The folder has only pickled weights ({', '.join(pickled)}), and loading a pickle can "
            "run any code it contains. Convert them to safetensors (in transformers: "
            "`model.save_pretrained(folder, safe_serialization=True)`). "
            f"Received: {folder}"
        )
    raise ValueError(f"The folder must contain {SINGLE} or {INDEX}. Received: {folder}")


def _shards(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        names = sorted({pathlib.PurePath(name) for name in index["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"The index of the weights has no readable `weight_map`. Received: {folder / INDEX}"
        ) from error
    for name in names:
        if str(name) != name.name or not (folder / name).is_file():
            raise ValueError(
                "The index of the weights must name files beside it. "
                f"Received: {str(name)!r} in {folder / INDEX}"
            )
    return [folder / name for name in names]
