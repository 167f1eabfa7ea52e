"""Turn measurements into the numbers and tables that people read."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.bench.subjects import PAIRS
from tests.bench.timing import Measurement

HEADER = ("file", "made by", "recipe", "MB", "cosine mean", "cosine min", "median ms", "IQR ms")
PAIR_HEADER = ("file", "against", "ms", "ms against", "ratio", "IQR of ratio", "target", "result")


@dataclass(frozen=True)
class Row:
    """One file: its size in bytes, agreement with the reference, and latency in milliseconds."""

    name: str
    format: str
    maker: str
    recipe: str
    size: int
    cosine_mean: float
    cosine_min: float
    intact: bool
    median: float
    quartiles: tuple[float, float]
    repeats: int

    def cells(self) -> tuple[str, ...]:
        """Format the row under `HEADER`."""
        low, high = self.quartiles
        cosines = (f"{self.cosine_mean:.5f}", f"{self.cosine_min:.5f}")
        latency = (f"{self.median:.2f}", f"{low:.2f}-{high:.2f}")
        return (self.format, self.maker, self.recipe, f"{self.size / 1e6:.1f}", *cosines, *latency)


@dataclass(frozen=True)
class Comparison:
    """Our file against another: latencies in milliseconds, and the ratio ours / theirs.

    The ratio is that of the medians; its quartiles are those of the ratios within each round.
    """

    ours: str
    theirs: str
    our_median: float
    their_median: float
    ratio: float
    quartiles: tuple[float, float]
    target: float
    met: bool

    def cells(self) -> tuple[str, ...]:
        """Format the comparison under `PAIR_HEADER`."""
        low, high = self.quartiles
        return (
            self.ours,
            self.theirs,
            f"{self.our_median:.2f}",
            f"{self.their_median:.2f}",
            f"{self.ratio:.3f}",
            f"{low:.3f}-{high:.3f}",
            f"<= {self.target:.2f}",
            "met" if self.met else "MISSED",
        )


def pooled(hidden: np.ndarray, padding_mask: np.ndarray) -> np.ndarray:
    """Make sentence embeddings: the mean over real positions, scaled to length one.

    Args:
        hidden: `(B, T, D)`.
        padding_mask: `(B, T)`, one at real positions.

    Returns:
        `(B, D)` in float64.
    """
    mask = padding_mask[:, :, None].astype("float64")
    mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def quartiles(values: np.ndarray) -> tuple[float, float]:
    """Find the first and third quartile.

    Args:
        values: Any numbers.

    Returns:
        Both, as Python floats.
    """
    low, high = np.percentile(values, [25, 75])
    return float(low), float(high)


def row(measurement: Measurement, reference: np.ndarray, padding_mask: np.ndarray) -> Row:
    """Describe one measurement.

    Args:
        measurement: What the file did.
        reference: Sentence embeddings of the float model, `(B, D)`.
        padding_mask: `(B, T)`.

    Returns:
        The row.
    """
    cosines = (pooled(measurement.hidden, padding_mask) * reference).sum(axis=1)
    subject, milliseconds = measurement.subject, measurement.seconds * 1e3
    return Row(
        name=subject.name,
        format=subject.format,
        maker=subject.maker,
        recipe=subject.recipe,
        size=measurement.size,
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        intact=bool(cosines.mean() >= subject.floor),  # false for NaN too
        median=float(np.median(milliseconds)),
        quartiles=quartiles(milliseconds),
        repeats=len(milliseconds),
    )


def compare(measurements: list[Measurement]) -> list[Comparison]:
    """Compare the pairs of which both files were measured.

    Args:
        measurements: All of one run.

    Returns:
        One comparison a pair.
    """
    seconds = {each.subject.name: each.seconds for each in measurements}
    comparisons = []
    for pair in PAIRS:
        if pair.ours not in seconds or pair.theirs not in seconds:
            continue
        ours, theirs = seconds[pair.ours], seconds[pair.theirs]
        medians = float(np.median(ours)) * 1e3, float(np.median(theirs)) * 1e3
        ratio = medians[0] / medians[1]
        spread = quartiles(ours / theirs)
        met = ratio <= pair.target
        comparisons.append(
            Comparison(pair.ours, pair.theirs, *medians, ratio, spread, pair.target, met)
        )
    return comparisons


def to_dict(
    environment: dict[str, Any], rows: list[Row], comparisons: list[Comparison]
) -> dict[str, Any]:
    """Gather a run for machines.

    Args:
        environment: Versions and settings.
        rows: One a file.
        comparisons: One a pair.

    Returns:
        A dictionary that JSON can hold.
    """
    return {
        "environment": environment,
        "files": [asdict(each) for each in rows],
        "comparisons": [asdict(each) for each in comparisons],
    }


def table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """Lay out a Markdown table.

    Args:
        header: Column titles.
        lines: Cells.

    Returns:
        The table, columns padded so that it reads well as plain text too.
    """
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    ruled = [header, tuple("-" * width for width in widths), *lines]
    padded = ([cell.ljust(width) for cell, width in zip(r, widths, strict=True)] for r in ruled)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in padded)


def to_markdown(environment: dict[str, Any], rows: list[Row], comparisons: list[Comparison]) -> str:
    """Gather a run for people.

    Args:
        environment: Versions and settings.
        rows: One a file.
        comparisons: One a pair.

    Returns:
        Two tables and the conditions.
    """
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    settings = (
        f"MiniLM, {environment['texts']} real texts at length {environment['length']}, batch 1, "
        f"{environment['threads']} threads, {rows[0].repeats} timed runs a file in interleaved "
        f"rounds, one process a file; {environment['processor']}."
    )
    parts = [
        table(HEADER, [each.cells() for each in rows]),
        table(PAIR_HEADER, [each.cells() for each in comparisons]),
        f"{settings} {versions}.",
    ]
    return "\n\n".join(parts) + "\n"
