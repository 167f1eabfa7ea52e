"""The comparison of a file with its model, output by output."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from kzoo_export.artifact.document import Document, open_table
from kzoo_export.recipe import Tolerance


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One output of a file against the same output of the model.

    `kind` is what the output was compared as, `None` where nothing declares it: as plain numbers.
    `scale` is the largest magnitude of the reference (of single numbers: the largest deviation from
    their mean), `rows` how many rows the cosines are taken over (of integers, NaN). `agreement` is
    the share of equal integers, of logits the share of rows with the same largest entry, of single
    logits the share with the same sign. `weak` says that the reference is nearly the same for all
    samples, so that little is proven. `size` is the shape of a batch of the input where it has open
    axes.
    """

    name: str
    max_abs: float
    cosine_mean: float
    cosine_min: float
    scale: float
    rows: int
    kind: str | None = None
    agreement: float | None = None
    weak: bool = False
    size: tuple[int, ...] | None = None

    @property
    def loss(self) -> float:
        """What the output has lost: 0 where it is the same, up to 2."""
        return 1.0 - float((self.agreement or 0.0) if self.kind == "integers" else self.cosine_mean)

    def within(self, tolerance: Tolerance) -> bool:
        """Say whether the output is as close as a recipe promises.

        Args:
            tolerance: The bounds.

        Returns:
            True if every bound holds; a NaN holds none.
        """
        agrees = self.agreement is None or self.agreement >= tolerance.agreement
        if self.kind == "integers":
            return agrees
        return (
            agrees
            and self.max_abs <= tolerance.max_abs * max(1.0, self.scale)
            and self.cosine_mean >= tolerance.cosine_mean
            and self.cosine_min >= tolerance.cosine_min
        )


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How well an output predicts the labels of the samples, in a model and in its file.

    `metric` is the accuracy of classes, the micro F1 of labels of which a sample has any number, or
    the Pearson correlation of numbers.
    """

    output: str
    model: float
    file: float
    metric: str = "accuracy"


@dataclasses.dataclass(frozen=True)
class Verification(Document):
    """Every output of a file against its model, on samples no calibration saw.

    `accuracies` is empty unless the samples had labels.
    """

    outputs: tuple[Comparison, ...]
    tolerance: Tolerance
    num_samples: int
    samples: str
    judged_as: str
    accuracies: tuple[Accuracy, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return all(output.within(self.tolerance) for output in self.outputs)

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the input that were tried, where it has open axes."""
        return tuple(dict.fromkeys(output.size for output in self.outputs if output.size))

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as JSON types."""
        return {**super().to_dict(), "passed": self.passed}

    def tables(self) -> list[Table]:
        """Lay out one line for each output."""
        verdict = "passed" if self.passed else "FAILED"
        title = f"Verification {verdict}: {self.num_samples} samples ({self.samples})"
        table = open_table(title)
        table.caption = "\n".join(self._legend())
        for column in ("output", "kind", *(["at"] if self.sizes else [])):
            # Folded where it must be, never cut.
            table.add_column(column, overflow="fold")
        for column in ("max abs", "cosine", "min", "agree"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for output in self.outputs:
            table.add_row(*_comparison_row(output, self.tolerance))
        bounds = self.tolerance
        table.add_row(
            "bound",
            *([""] * (2 if self.sizes else 1)),
            f"{bounds.max_abs:g} x scale",
            f"{bounds.cosine_mean:g}",
            f"{bounds.cosine_min:g}",
            f"{bounds.agreement:g}",
        )
        return [table, *self._accuracy_tables()]

    def _accuracy_tables(self) -> Iterator[Table]:
        """Lay out one line for each output that the samples have labels of."""
        if not self.accuracies:
            return
        table = open_table("Accuracy")
        for column in ("output", "metric"):
            table.add_column(column, overflow="fold")
        for column in ("labels", "model", "file", "file - model"):
            table.add_column(column, justify="right", no_wrap=True)
        for each in self.accuracies:
            shares = (f"{each.model:.4f}", f"{each.file:.4f}", f"{each.file - each.model:+.4f}")
            table.add_row(each.output, each.metric, str(self.num_samples), *shares)
        yield table

    def _legend(self) -> Iterator[str]:
        """Say what the columns are, and what a reader must know of the rows."""
        yield f"bound: the tolerance of {self.judged_as}; cosine, min: mean and least over rows"
        if any(output.agreement is not None for output in self.outputs):
            yield "agree: share of equal integers, or of rows with the same largest logit or, of"
            yield "       label logits, with the same labels"
        if any(output.kind is None for output in self.outputs):
            yield "undeclared: compared as plain numbers; say what it is with `kinds`"
        if any(output.weak for output in self.outputs):
            yield "weak: nearly the same for all samples, so little is proven;"
            yield "      give `samples` of your own"


def _comparison_row(output: Comparison, tolerance: Tolerance) -> tuple[str, ...]:
    return (
        output.name,
        output.kind or "undeclared",
        *([size_text(output.size)] if output.size else []),
        f"{output.max_abs:.2e}",
        "" if output.kind == "integers" else f"{output.cosine_mean:.6f}",
        "" if output.kind == "integers" else f"{output.cosine_min:.6f}",
        "" if output.agreement is None else f"{output.agreement:.3f}",
        _verdict(output, tolerance),
    )


def _verdict(output: Comparison, tolerance: Tolerance) -> str:
    if not output.within(tolerance):
        return "too far"
    return "ok, weak" if output.weak else "ok"


def size_text(shape: tuple[int, ...]) -> str:
    """Write the shape of a batch.

    Args:
        shape: The shape.

    Returns:
        Its sizes, such as `3x128`.
    """
    return "x".join(map(str, shape))
