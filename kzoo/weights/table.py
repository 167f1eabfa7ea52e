"""Weights under other names and in other layouts.

A table maps the name of a tensor in a file to what becomes of it in a model: the path of a
variable, several of them (`Split`), a variable of another layout (`Transform`), or `None` where the
tensor is dropped on purpose. Kernels are transposed on the way: PyTorch keeps them as (out, in). A
`{}` in a name and in its paths stands for the number of a layer.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np

Array = np.ndarray
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Split:
    """Equal parts of a tensor along its first axis, such as a fused projection of Q, K and V.

    Attributes:
        paths: The path of the variable of each part.
    """

    paths: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Transform:
    """A tensor that has another layout in the file; it is not transposed besides.

    Attributes:
        path: The path of the variable.
        read: Turns the file's array into the variable's.
        write: The inverse of `read`.
    """

    path: str
    read: Callable[[Array], Array]
    write: Callable[[Array], Array]


Entry = str | Split | Transform | None
Table = Mapping[str, Entry]


def expand(table: Table, num_layers: int) -> dict[str, Entry]:
    """Write the entries of every layer out.

    Args:
        table: A table whose names may contain `{}`.
        num_layers: Number of layers.

    Returns:
        The same table without `{}`.
    """
    result: dict[str, Entry] = {}
    for name, entry in table.items():
        if "{}" in name:
            for index in range(num_layers):
                result[name.format(index)] = _of_layer(entry, index)
        else:
            result[name] = entry
    return result


def rename(
    tensors: Mapping[str, Array],
    table: Table,
    shapes: Mapping[str, tuple[int, ...]],
    plain_name: Callable[[str], str] = str,
    strict: bool = True,
) -> dict[str, Array]:
    """Turn the tensors of a file into the arrays of a model.

    Args:
        tensors: Arrays by the file's names.
        table: What becomes of each, by plain name.
        shapes: Shape by variable path: what the model needs, no less and no more.
        plain_name: Reduces a file's name to one of the table.
        strict: Whether names that are not in the table are an error; otherwise one warning lists
            them.

    Returns:
        Arrays by variable path, one for every entry of `shapes`.

    Raises:
        ValueError: If names or shapes differ; the message lists both sides.
    """
    arrays: dict[str, Array] = {}
    unexpected, repeated = [], []
    for name, tensor in tensors.items():
        plain = plain_name(name)
        if plain not in table:
            unexpected.append(name)
            continue
        for path, array in _read(table[plain], tensor):
            if path in arrays:
                repeated.append(name)
            arrays[path] = array
    paths = {path: name for name, entry in table.items() for path in _paths(entry)}
    different = [
        f"{path}: {arrays[path].shape} in the file, {tuple(shape)} in the model"
        for path, shape in shapes.items()
        if path in arrays and arrays[path].shape != tuple(shape)
    ]
    missing = [paths[path] for path in shapes if path in paths and path not in arrays]
    difference = _describe(
        {
            "missing from the file": list(dict.fromkeys(missing)),
            "unexpected in the file": unexpected if strict else [],
            "more than once in the file": repeated,
            "of another shape": different,
            "in the model but not in the table": sorted(set(shapes) - set(paths)),
            "in the table but not in the model": sorted(set(arrays) - set(shapes)),
        }
    )
    if difference:
        raise ValueError(f"The weights do not match the model:{difference}")
    if unexpected and not strict:
        ignored = _describe({"in the file that the model does not have": unexpected})
        warnings.warn(f"Weights are left out:{ignored}", stacklevel=2)
    return arrays


def restore(arrays: Mapping[str, Array], table: Table) -> dict[str, Array]:
    """Turn the arrays of a model into the tensors of a file: the inverse of `rename`.

    Args:
        arrays: Arrays by variable path.
        table: What becomes of each tensor.

    Returns:
        Arrays by the file's names.

    Raises:
        ValueError: If the arrays and the table do not name the same variables.
    """
    paths = {path for entry in table.values() for path in _paths(entry)}
    difference = _describe(
        {
            "missing from the model": sorted(paths - set(arrays)),
            "in the model but not in the table": sorted(set(arrays) - paths),
        }
    )
    if difference:
        raise ValueError(f"The model does not match its table:{difference}")
    return {name: _write(entry, arrays) for name, entry in table.items() if entry is not None}


def _of_layer(entry: Entry, index: int) -> Entry:
    if isinstance(entry, Split):
        return Split(tuple(path.format(index) for path in entry.paths))
    if isinstance(entry, Transform):
        return dataclasses.replace(entry, path=entry.path.format(index))
    return entry.format(index) if entry is not None else None


def _paths(entry: Entry) -> tuple[str, ...]:
    if isinstance(entry, Split):
        return entry.paths
    if isinstance(entry, Transform):
        return (entry.path,)
    return (entry,) if entry is not None else ()


def _read(entry: Entry, tensor: Array) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a tensor by variable path."""
    if isinstance(entry, Transform):
        yield entry.path, entry.read(tensor)
    elif isinstance(entry, Split):
        # Uneven parts have the wrong shape, which `rename` tells.
        for path, part in zip(entry.paths, np.array_split(tensor, len(entry.paths)), strict=True):
            yield path, _transpose(path, part)
    elif entry is not None:
        yield entry, _transpose(entry, tensor)


def _write(entry: Entry, arrays: Mapping[str, Array]) -> Array:
    """Make the tensor of an entry: the inverse of `_read`."""
    if isinstance(entry, Transform):
        return entry.write(arrays[entry.path])
    parts = [_transpose(path, arrays[path]) for path in _paths(entry)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _transpose(path: str, array: Array) -> Array:
    return array.T if path.endswith("/kernel") else array


def _describe(difference: Mapping[str, list[str]]) -> str:
    lines = []
    for side, names in difference.items():
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            lines.append(f"\n  {len(names)} {side}: {', '.join(names[:_SHOWN])}{more}")
    return "".join(lines)
