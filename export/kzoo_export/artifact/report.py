"""What is known of an exported file: its contents, its accuracy, its speed and its origin."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from kzoo_export.artifact.document import Document, facts_table, open_table
from kzoo_export.artifact.verification import Verification, size_text
from kzoo_export.recipe import Recipe
from kzoo_export.spec import OPEN, TensorSpec


@dataclasses.dataclass(frozen=True)
class Inspection(Document):
    """What is really inside a file.

    `matmuls` counts matrix products by the dtypes they are stored and computed in (such as
    `int8 x float32` for a product of dynamically quantized activations), `multiply_adds` adds up
    what one call multiplies in each, and `ops_by_dtype` counts operations by what they compute.
    `weight_bytes` are the constants by dtype. `custom_ops` are those outside the standard set of
    the format. `arena_bytes` estimates the memory of all tensors that are no constants. Both it and
    the multiply-adds are only known where all shapes are.
    """

    ops: Mapping[str, int]
    matmuls: Mapping[str, int]
    weight_bytes: Mapping[str, int]
    custom_ops: tuple[str, ...]
    static: bool
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...] = ()
    ops_by_dtype: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    multiply_adds: Mapping[str, int] = dataclasses.field(default_factory=dict)
    arena_bytes: int | None = None
    least_runtime: str = ""
    signatures: tuple[str, ...] = ()

    def tables(self) -> list[Table]:
        """Lay out the contents of the file."""
        table = facts_table("Inside the file")
        table.add_row("inputs", signature_text(self.inputs))
        table.add_row("outputs", signature_text(self.outputs))
        table.add_row("static shapes", "yes" if self.static else "no")
        table.add_row("operations", f"{sum(self.ops.values())}: {_counts(self.ops)}")
        if {"int8", "int16"} & set(self.ops_by_dtype):
            for dtype, ops in self.ops_by_dtype.items():
                table.add_row(f"computing {dtype}", f"{sum(ops.values())}: {_counts(ops)}")
        table.add_row("matrix products", _counts(self.matmuls))
        if self.multiply_adds:
            table.add_row("multiply-adds", _shares(self.multiply_adds))
        table.add_row("weights", _sizes(self.weight_bytes))
        if self.arena_bytes is not None:
            table.add_row("memory of tensors", f"{self.arena_bytes / 1e6:.2f} MB (estimate)")
        table.add_row("custom operations", ", ".join(self.custom_ops) or "none")
        table.add_row("least runtime", self.least_runtime)
        if len(self.signatures) > 1:
            table.add_row("signatures", ", ".join(self.signatures))
        for note in self.notes:
            table.add_row("note", note)
        return [table]


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds of one call: median and interquartile range of repeated calls."""

    median: float
    spread: float
    threads: int
    repeats: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ms (IQR {self.spread:.2f}), {self.threads} threads"


@dataclasses.dataclass(frozen=True)
class Report(Document):
    """An exported file and everything that was measured on it.

    `float_size` is what the model's weights take as float32, `ratio` the size of the file against
    it, `float_bytes` the weights of the float32 file, with the constants of the graph.
    `latency_ratio` is the latency against that of the float32 file, timed in turns with it.
    `target` says which hardware takes the file, where one was asked for. `log` has the last lines
    that the frameworks printed; it is in the JSON form only.
    """

    path: str
    format: str
    recipe: Recipe
    route: str
    portable: bool
    size: int
    float_size: int
    float_bytes: int
    ratio: float
    verification: Verification
    inspection: Inspection
    latency: Latency
    samples: str
    calibration: str | None
    seed: int
    seconds: Mapping[str, float]
    versions: Mapping[str, str]
    latency_ratio: float | None = None
    target: str | None = None
    warnings: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as JSON types."""
        return {**super().to_dict(), "verification": self.verification.to_dict()}

    def tables(self) -> list[Table]:
        """Lay out the origin of the file, its accuracy and its contents."""
        table = origin_table(self.path, self.format, self.recipe, self.route, self.portable)
        table.add_row("size", f"{self.size / 1e6:.2f} MB, {self.ratio:.3f} of the float32 weights")
        ratio = f", {self.latency_ratio:.2f} of float32" if self.latency_ratio else ""
        sizes = [size_text(shape) for shape in self.verification.sizes]
        table.add_row("latency", f"{self.latency}{ratio}{f', at {sizes[0]}' if sizes else ''}")
        if self.target:
            table.add_row("target", self.target)
        table.add_row("verified on", self.samples)
        if sizes:
            table.add_row("verified at", f"{', '.join(sizes)} (open axes)")
        table.add_row("calibrated on", self.calibration or "nothing: this recipe needs none")
        steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in self.seconds.items())
        table.add_row("time", steps)
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        table.add_row("versions, seed", f"{versions}; seed {self.seed}")
        for warning in self.warnings:
            table.add_row("warning", warning)
        return [table, *self.verification.tables(), *self.inspection.tables()]


@dataclasses.dataclass(frozen=True)
class Benchmark(Document):
    """Several files timed side by side: turns interleaved, a process for each runtime."""

    latencies: Mapping[str, Latency]

    def tables(self) -> list[Table]:
        """Lay out one line for each file, with its time against the first file's."""
        table = open_table("Latency of one call")
        table.caption = "ratio: median latency against the first file"
        table.add_column("file", overflow="fold")
        for column in ("median ms", "IQR ms", "ratio", "threads", "repeats"):
            table.add_column(column, justify="right", no_wrap=True)
        first = next(iter(self.latencies.values()))
        names = [Path(path).name for path in self.latencies]
        shown = names if len(set(names)) == len(names) else list(self.latencies)
        for name, latency in zip(shown, self.latencies.values(), strict=True):
            times = (f"{latency.median:.2f}", f"{latency.spread:.2f}")
            ratio = f"{latency.median / first.median:.3f}"
            table.add_row(name, *times, ratio, str(latency.threads), str(latency.repeats))
        return [table]


def origin_table(title: str, format: str, recipe: Recipe, route: str, portable: bool) -> Table:
    """Start a table of facts with what a file is made by.

    Args:
        title: Its title.
        format: The format of the file.
        recipe: Its recipe.
        route: How its model is lowered.
        portable: Whether it keeps to the standard operators.

    Returns:
        The table, to which more facts can be added.
    """
    table = facts_table(title)
    route = f"{route}, standard operators only" if portable else route
    table.add_row("format, recipe, route", f"{format}, {recipe.name}, {route}")
    for override in recipe.overrides:
        table.add_row("override", str(override))
    return table


def signature_text(tensors: tuple[TensorSpec, ...]) -> str:
    """Write inputs or outputs on one line.

    Args:
        tensors: The tensors.

    Returns:
        Name, dtype and shape of each, and what integers stand for.
    """
    return ", ".join(
        f"{t.name} {t.dtype} {_shape_text(t.shape)}{_quantization_text(t)}" for t in tensors
    )


def _quantization_text(tensor: TensorSpec) -> str:
    if tensor.quantization is None:
        return ""
    scale, zero_point = tensor.quantization
    return f" (scale {scale:.6g}, zero point {zero_point})"


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join('open' if size == OPEN else str(size) for size in shape)}]"


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number} {name}" for name, number in ordered) or "none"


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{count / total:.0%} {name}" for name, count in ordered)
    return f"{total / 1e6:.1f} million: {shares}"


def _sizes(sizes: Mapping[str, int]) -> str:
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in ordered) or "none"
