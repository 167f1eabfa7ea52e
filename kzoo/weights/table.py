"""Weights under other names.

A table maps the names of a file to the paths of a model's variables, or to `None` where a weight is
dropped on purpose. Kernels are transposed on the way: PyTorch keeps them as (out, in).
"""

import warnings
from collections.abc import Callable, Mapping

import numpy as np

Table = Mapping[str, str | None]
_SHOWN = 8


def rename(
    tensors: Mapping[str, np.ndarray],
    table: Table,
    shapes: Mapping[str, tuple[int, ...]],
    plain_name: Callable[[str], str] = str,
    strict: bool = True,
) -> dict[str, np.ndarray]:
    """Turn the tensors of a file into the arrays of a model.

    Args:
        tensors: Arrays by the file's names.
        table: Variable path by plain name; `None` for what is dropped on purpose.
        shapes: Shape by variable path: what the model needs, no less and no more.
        plain_name: Reduces a file's name to one of the table.
        strict: Whether names that are not in the table are an error; otherwise one warning lists
            them.

    Returns:
        Arrays by variable path, one for every entry of `shapes`.

    Raises:
        ValueError: If names or shapes differ; the message lists both sides.
    """
    arrays: dict[str, np.ndarray] = {}
    unexpected, repeated = [], []
    for name, tensor in tensors.items():
        plain = plain_name(name)
        if plain not in table:
            unexpected.append(name)
            continue
        path = table[plain]
        if path is None:
            continue
        if path in arrays:
            repeated.append(name)
        arrays[path] = _transpose(path, tensor)
    missing = [name for name, path in table.items() if path in shapes and path not in arrays]
    unknown = sorted(set(shapes) - set(table.values()))
    different = [
        f"{path}: {arrays[path].shape} in the file, {tuple(shape)} in the model"
        for path, shape in shapes.items()
        if path in arrays and arrays[path].shape != tuple(shape)
    ]
    difference = _describe(
        {
            "missing from the file": missing,
            "unexpected in the file": unexpected if strict else [],
            "more than once in the file": repeated,
            "of another shape": different,
            "in the model but not in the table": unknown,
            "in the table but not in the model": sorted(set(arrays) - set(shapes)),
        }
    )
    if difference:
        raise ValueError(f"The weights do not match the model:{difference}")
    if unexpected and not strict:
        ignored = _describe({"in the file that the model does not have": unexpected})
        warnings.warn(f"Weights are left out:{ignored}", stacklevel=2)
    return arrays


def restore(arrays: Mapping[str, np.ndarray], table: Table) -> dict[str, np.ndarray]:
    """Turn the arrays of a model into the tensors of a file: the inverse of `rename`.

    Args:
        arrays: Arrays by variable path.
        table: Variable path by the file's name; `None` for what is dropped on purpose.

    Returns:
        Arrays by the file's names.

    Raises:
        ValueError: If the arrays and the table do not name the same variables.
    """
    paths = {path: name for name, path in table.items() if path is not None}
    difference = _describe(
        {
            "missing from the model": sorted(set(paths) - set(arrays)),
            "in the model but not in the table": sorted(set(arrays) - set(paths)),
        }
    )
    if difference:
        raise ValueError(f"The model does not match its table:{difference}")
    return {paths[path]: _transpose(path, array) for path, array in arrays.items()}


def _transpose(path: str, array: np.ndarray) -> np.ndarray:
    return array.T if path.endswith("/kernel") else array


def _describe(difference: Mapping[str, list[str]]) -> str:
    lines = []
    for side, names in difference.items():
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            lines.append(f"\n  {len(names)} {side}: {', '.join(names[:_SHOWN])}{more}")
    return "".join(lines)
