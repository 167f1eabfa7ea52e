"""The errors of an export. None of them leaves a file behind."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from kzoo_export.artifact.verification import Verification


class ExportError(RuntimeError):
    """An export that could not be completed. No file is left behind."""


class RecipeError(ExportError):
    """A recipe that changed nothing in the file."""


class TargetError(ExportError):
    """A file with operations that its hardware does not take. It was not kept."""

    def __init__(self, name: str, target: str, source: str, refused: Mapping[str, int]) -> None:
        self.refused = dict(refused)
        lines = "\n  ".join(f"{count} {reason}" for reason, count in refused.items())
        super().__init__(
            f"{name} has {sum(refused.values())} operations that the target {target!r} does not "
            f"take, by {source}; the file was not kept.\n  {lines}"
        )


class VerificationError(ExportError):
    """A file that is further from its model than its recipe allows. It was not kept."""

    def __init__(self, name: str, verification: "Verification") -> None:
        self.verification = verification
        super().__init__(
            f"{name} is too far from its model for the recipe {verification.judged_as!r}; "
            f"the file was not kept.\n{verification}"
        )


def root_cause(error: Exception) -> BaseException:
    """Look behind what PyTorch's exporter wraps in advice to its own developers.

    Args:
        error: What was raised.

    Returns:
        What happened.
    """
    cause = error.__cause__ if type(error).__name__ == "TorchExportError" else None
    return cause or error


def plain_text(message: str) -> str:
    """Take the escape sequences that color a terminal out of a message.

    Args:
        message: What a framework said.

    Returns:
        The text alone.
    """
    return re.sub(r"\x1b\[[0-9;]*m", "", message)


def beginning(message: str) -> str:
    """Cut a long message to what fits in another one.

    Args:
        message: What a framework said.

    Returns:
        Its first 300 characters, on one line.
    """
    return " ".join(plain_text(message).split())[:300]


def cannot_run(runtime: str, feed: "Mapping[str, np.ndarray]", error: Exception) -> ExportError:
    """Say that a runtime failed to run a file.

    Args:
        runtime: The name of the runtime.
        feed: What it was given.
        error: What it said.

    Returns:
        The error to raise.
    """
    shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
    return ExportError(f"{runtime} cannot run the file on {shapes}: {error}")
