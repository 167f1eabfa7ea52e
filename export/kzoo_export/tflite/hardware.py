"""What kinds of hardware take a TFLite file, and which of its operations others do not."""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kzoo_export.tflite import hardware_tables as tables

# Integers that choose among the rows of another input are no activations.
_INDEXED = ("GATHER", "GATHER_ND", "EMBEDDING_LOOKUP", "ONE_HOT")
_WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL")


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What a kind of hardware takes.

    `operations` are its operations by the dtypes of activations, as words; `versions` those whose
    versions are bounded. `weights` are the dtypes of constants that products can have beside float
    activations, where these are no floats. With `flat_indices`, indices of rows have one axis.
    """

    description: str
    source: str
    operations: Mapping[str, str]
    versions: Mapping[int, str] = dataclasses.field(default_factory=dict)
    max_rank: int | None = None
    static: bool = True
    flat_indices: bool = False
    weights: tuple[str, ...] = ()

    @functools.cached_property
    def dtypes(self) -> dict[str, set[str]]:
        """The dtypes of each operation."""
        return {
            name: set(dtypes.split())
            for dtypes, names in self.operations.items()
            for name in names.split()
        }

    @functools.cached_property
    def newest(self) -> dict[str, int]:
        """The newest version of each operation that has a bound."""
        return {name: version for version, names in self.versions.items() for name in names.split()}


HARDWARE = {
    "cpu": Hardware(
        description="CPUs of phones and servers",
        source="LiteRT 2.3, November 2026",
        operations={"": tables.CPU},
        static=False,
        weights=("int8", "int4", "float16"),
    ),
    "gpu": Hardware(
        description="LiteRT's GPU delegate (OpenCL, OpenGL, Metal)",
        source="LiteRT 34ec5bad, November 2026",
        operations=tables.GPU,
        versions=tables.GPU_VERSIONS,
        max_rank=4,
        flat_indices=True,
        weights=("int8", "float16"),
    ),
    "npu_int8": Hardware(
        description="Arm Ethos-U55 and U65",
        source="Vela 5.2.0, November 2026",
        operations=tables.NPU_INT8,
    ),
    "npu_int16": Hardware(
        description="Qualcomm Hexagon, through LiteRT",
        source="LiteRT 25ba9159, November 2026",
        operations=tables.NPU_INT16,
    ),
    "microcontroller": Hardware(
        description="TensorFlow Lite Micro",
        source="tflite-micro 8f6596d, October 2026",
        operations=tables.MICROCONTROLLER,
    ),
}


class Use(NamedTuple):
    """What an operation of a file is and has: dtypes and shapes of activations, axes of indices."""

    name: str
    version: int
    dtypes: frozenset[str]
    shapes: tuple[tuple[int, ...], ...]
    index_axes: int
    weight: str

    @property
    def rank(self) -> int:
        """The most axes of an activation."""
        return max(map(len, self.shapes), default=0)


def refused(path: Path, hardware: Hardware) -> dict[str, int]:
    """List the operations of a file that a kind of hardware does not take.

    Args:
        path: The `.tflite` file.
        hardware: What it takes.

    Returns:
        Why not, with the operation in front, and how many there are of it.
    """
    reasons = ((use.name, _reason(use, hardware)) for use in _uses(path))
    found = collections.Counter(f"{name}: {reason}" for name, reason in reasons if reason)
    return dict(found.most_common())


def _reason(use: Use, hardware: Hardware) -> str:
    """Say why an operation is not taken; nothing where it is."""
    if not use.version:
        return "a custom operation"
    taken = hardware.dtypes.get(use.name)
    if taken is None:
        return "there is no such operation"
    others = use.dtypes - taken if taken else frozenset()
    newest = hardware.newest.get(use.name, use.version)
    most_axes = hardware.max_rank or use.rank
    beside_floats = "float32" in use.dtypes and use.weight != "float32"
    reasons = {
        f"it has no kernel for {', '.join(sorted(others))}": bool(others),
        f"version {use.version} is newer than {newest}": use.version > newest,
        "its shapes are open": hardware.static and any(-1 in shape for shape in use.shapes),
        f"it has {use.rank} axes, more than {most_axes}": use.rank > most_axes,
        f"its indices have {use.index_axes} axes, more than 1": hardware.flat_indices
        and use.index_axes > 1,
        f"its weight is {use.weight}, beside float activations": bool(use.weight)
        and beside_floats
        and use.weight not in hardware.weights,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _uses(path: Path) -> Iterator[Use]:
    """Read the operations of a file; those outside the standard set have the version 0."""
    from ai_edge_litert import schema_py_generated as schema

    from kzoo_export.tflite import flatbuffer

    model = flatbuffer.read(path.read_bytes())
    names, types = (
        flatbuffer.names_of(schema.BuiltinOperator),
        flatbuffer.names_of(schema.TensorType),
    )

    def dtype(tensor: Any) -> str:
        return types[tensor.type].lower()

    def is_constant(tensor: Any) -> bool:
        return model.buffers[tensor.buffer].data is not None

    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if code.customCode is not None:
                custom = str(code.customCode.decode())
                yield Use(custom, 0, frozenset(), (), 0, "")
                continue
            name = names[flatbuffer.operation_of(code)]
            read, computed = (
                [graph.tensors[index] for index in side if index >= 0]
                for side in (operator.inputs, operator.outputs)
            )
            looks_up = name in _INDEXED
            indices = [each for each in read if looks_up and dtype(each) in ("int32", "int64")]
            activations = [
                each
                for each in (*read, *computed)
                if not is_constant(each) and not any(each is index for index in indices)
            ]
            weighted = name in _WEIGHTED and is_constant(read[1])
            yield Use(
                name=name,
                version=code.version,
                dtypes=frozenset(map(dtype, activations)),
                shapes=tuple(map(flatbuffer.open_shape_of, activations)),
                index_axes=max((len(flatbuffer.shape_of(each)) for each in indices), default=0),
                weight=dtype(read[1]) if weighted else "",
            )
