"""Kinds of hardware, and whether they take a file."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from kzoo.arguments import close_matches, require_packages
from kzoo_export.artifact.compare import compare
from kzoo_export.artifact.document import Document, facts_table
from kzoo_export.artifact.files import existing
from kzoo_export.artifact.isolated import isolated
from kzoo_export.errors import TargetError, VerificationError
from kzoo_export.recipe import Recipe
from kzoo_export.spec import Signature, format_of
from kzoo_export.tflite.hardware import HARDWARE, refused
from kzoo_export.trials import Trial

TARGETS = tuple(HARDWARE)
# What runs files as a microcontroller does, and the rows it is given: it has one slow thread.
_MICRO = "kzoo_export.tflite.micro"
_MICRO_ROWS = 4
# ONNX Runtime itself tells whether it has all operations, by loading the file.
_ONNX = ("CPUs, by ONNX Runtime", "the runtime that loads the file")


@dataclasses.dataclass(frozen=True)
class Compatibility(Document):
    """Whether a kind of hardware takes a file.

    `source` says where its list of operations is from, and of when; `refused` counts operations
    that it does not take, each with the reason behind it.
    """

    path: str
    target: str
    description: str
    source: str
    refused: Mapping[str, int]

    @property
    def passed(self) -> bool:
        """Whether all operations are taken."""
        return not self.refused

    def tables(self) -> list[Table]:
        """Lay out what is taken."""
        table = facts_table(self.path)
        table.add_row("target", f"{self.target}: {self.description}")
        table.add_row("list of", self.source)
        table.add_row("taken", "all operations" if self.passed else "not all operations")
        for reason, count in self.refused.items():
            table.add_row("not taken", f"{count} {reason}")
        return [table]


def check_hardware(target: str | None, format: str) -> None:
    """Refuse a kind of hardware that is unknown, or that files of a format are not for.

    Args:
        target: The kind, or `None`.
        format: The format of the file.

    Raises:
        ValueError: If there is no such kind, or none for the format.
        ImportError: If a package is missing; the message names the extra to install.
    """
    if target is not None and target not in TARGETS:
        raise ValueError(
            f"`target` must be a kind of hardware. Received: target={target!r}. "
            f"{close_matches(target, TARGETS)}"
        )
    if format == "onnx" and target not in (None, "cpu"):
        raise ValueError(
            "`target` must be 'cpu' for an .onnx file: lists of operations are known of .tflite "
            f"files. Received: target={target!r}"
        )
    if target == "microcontroller":
        require_packages(("tflite_micro",), "microcontroller", "running files for microcontrollers")


def compatibility(path: str | Path, target: str) -> Compatibility:
    """Check which operations of a file a kind of hardware takes.

    Args:
        path: A `.tflite` or `.onnx` file, whoever made it.
        target: `cpu`, `gpu`, `npu_int8`, `npu_int16` or `microcontroller`.

    Returns:
        The operations that it does not take, and where that is known from.

    Raises:
        ValueError: If there is no such file or kind of hardware.
    """
    format = format_of(existing(path))
    check_hardware(target, format)
    if format == "onnx":
        with isolated(path):
            return Compatibility(str(path), target, *_ONNX, refused={})
    hardware = HARDWARE[target]
    found = refused(Path(path), hardware)
    return Compatibility(str(path), target, hardware.description, hardware.source, found)


def accept_target(
    file: Path,
    name: str,
    target: str,
    trials: Sequence[Trial],
    recipe: Recipe,
    signature: Signature,
) -> str:
    """Refuse a file that a kind of hardware does not take.

    Args:
        file: The file, in the working folder.
        name: What it will be called.
        target: The kind of hardware.
        trials: Samples, and the model's outputs on them.
        recipe: Whose tolerance judges a run.
        signature: The kinds of inputs and outputs.

    Returns:
        Why it is accepted, in words.

    Raises:
        TargetError: If it has operations that are not taken.
        VerificationError: If the hardware's own runtime is too far from the model.
    """
    found = compatibility(file, target)
    if not found.passed:
        raise TargetError(name, target, found.source, found.refused)
    words = f"{target}: all operations are taken by {found.description} ({found.source})"
    if target != "microcontroller":
        return words
    first = trials[0]
    few = dataclasses.replace(
        first,
        samples=first.samples.take(slice(_MICRO_ROWS)),
        outputs={key: array[:_MICRO_ROWS] for key, array in first.outputs.items()},
    )
    with isolated(file, runtime=_MICRO) as runner:
        verification = compare(runner, [few], recipe, signature, f"{recipe.name}, in tflite-micro")
    if not verification.passed:
        raise VerificationError(name, verification)
    return f"{words}; {len(few.samples)} samples pass in tflite-micro as well"
