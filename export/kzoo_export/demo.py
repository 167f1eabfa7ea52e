"""The whole product in one call: load, export in many recipes, verify, search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from kzoo_export.artifact.document import open_table
from kzoo_export.artifact.report import Report
from kzoo_export.pipeline import export_all
from kzoo_export.recipe import Recipe
from kzoo_export.recipes import RECIPES

SUFFIXES = (".tflite", ".onnx")
QUERIES = (
    "Why are there colours in a rainbow?",
    "Who may become president?",
    "A man looking for a rich wife",
)
NEAREST = 3


@dataclass(frozen=True)
class Demonstration:
    """The reports of the exported files, and what the quantized one finds."""

    reports: tuple[Report, ...]
    search_file: str
    found: Mapping[str, tuple[tuple[float, str], ...]]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        return {
            "reports": [report.to_dict() for report in self.reports],
            "search": {"file": self.search_file, "found": self.found},
        }

    def __rich__(self) -> Group:
        return Group(summary(self.reports), "", self._answers())

    def _answers(self) -> Table:
        title = f"Nearest sentences, computed by {self.search_file}"
        table = open_table(title)
        table.add_column("cosine, sentence", no_wrap=True, overflow="ellipsis")
        for query, answers in self.found.items():
            table.add_row(Text(query, style="bold"))
            for score, sentence in answers:
                table.add_row(f"  {score:.2f}  {sentence}")
        return table


def run(
    source: str,
    folder: Path | str,
    *,
    length: int = 128,
    progress: Callable[[str, float], None] = lambda step, fraction: None,
) -> Demonstration:
    """Export a sentence encoder in both formats, verify the files and search with one.

    The recipes are those that need no calibration: the others are not made for CPUs, on which they
    take minutes.

    Args:
        source: Preset, Hugging Face folder or `.keras` file of the backbone.
        folder: Where the files go; made when it is missing.
        length: Tokens in a row of the files' inputs.
        progress: Called with the name of a step and the fraction that is done.

    Returns:
        The reports, and the sentences of the packaged sample nearest to three queries, found by
        the `dynamic_int8` TFLite file.
    """
    import kzoo

    progress("load", 0.0)
    encoder = kzoo.tasks.SentenceEncoder(kzoo.load(source))
    sentences = kzoo.data.sample_texts()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = Path(source).stem
    targets: dict[str | Path, str | Recipe] = {
        folder / f"{stem}_{name}{suffix}": name
        for suffix in SUFFIXES
        for name, recipe in RECIPES.items()
        if not recipe.calibrates
    }
    reports = export_all(
        encoder,
        targets,
        length=length,
        progress=lambda step, fraction: progress(step, 0.05 + 0.85 * fraction),
    )
    progress("search", 0.9)
    path = folder / f"{stem}_dynamic_int8.tflite"
    found = search(path, encoder.tokenizer, QUERIES, sentences)
    return Demonstration(tuple(reports), path.name, found)


def search(
    path: Path, tokenizer: Any, queries: tuple[str, ...], sentences: list[str]
) -> dict[str, tuple[tuple[float, str], ...]]:
    """Find the sentences nearest to each query with nothing but the exported file.

    Args:
        path: TFLite file of a sentence encoder.
        tokenizer: The tokenizer of the model.
        queries: What to look for.
        sentences: Where to look.

    Returns:
        For each query its nearest sentences with their cosines, best first.
    """
    from kzoo_export.tflite import runtime

    runner = runtime.load(path)
    length = runner.inputs[0].shape[1]

    def embed(texts: list[str] | tuple[str, ...]) -> np.ndarray:
        rows = (tokenizer([text], length=length) for text in texts)
        return np.concatenate([runner(row)["embedding"] for row in rows])

    scores = embed(queries) @ embed(sentences).T
    best = np.argsort(-scores, axis=1)[:, :NEAREST]
    return {
        query: tuple((round(float(row[i]), 4), sentences[i]) for i in nearest)
        for query, row, nearest in zip(queries, scores, best, strict=True)
    }


def summary(reports: tuple[Report, ...]) -> Table:
    """Lay out one line a file: what it weighs, what it kept, how fast it runs.

    Args:
        reports: Reports of the files.

    Returns:
        The table: size against the float32 weights, mean and least cosine to the model (of the
        worst output, where a file has several), median and spread of the latency.
    """
    title = "Exported files, each verified in its own runtime"
    table = open_table(title)
    table.caption_justify = "left"
    table.caption = (
        "MB: size of the file; ratio: that size against the float32 weights of the model; "
        "cosine, min: mean and least cosine to the model's outputs, of the worst output; "
        "ms, IQR: median and interquartile range of the milliseconds of one call"
    )
    table.add_column("recipe", no_wrap=True)
    for column in ("MB", "ratio", "cosine", "min", "ms", "IQR"):
        table.add_column(column, justify="right", no_wrap=True)
    made_by = ("", "")
    for report in reports:
        if made_by != (report.format, report.route):
            made_by = (report.format, report.route)
            table.add_section()
            table.add_row(Text.assemble((report.format, "bold"), f", by {report.route}"))
        outputs = report.verification.outputs
        table.add_row(
            f"  {report.recipe.name}",
            f"{report.size / 1e6:.1f}",
            f"{report.ratio:.3f}",
            f"{np.nanmin([output.cosine_mean for output in outputs]):.5f}",
            f"{np.nanmin([output.cosine_min for output in outputs]):.5f}",
            f"{report.latency.median:.1f}",
            f"{report.latency.spread:.1f}",
        )
    return table
