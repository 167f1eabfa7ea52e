"""`kzoo predict`: the labels of texts."""

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kzoo.cli.inputs import read_lines
from kzoo.cli.options import Json
from kzoo.cli.output import make_table, print_json, print_table, progress_bar
from kzoo.json_file import whole_file


def predict_texts(
    source: Annotated[
        str,
        typer.Argument(
            help="What `kzoo finetune` wrote, a classifier's `.keras` file, or a Hugging Face "
            "folder of one.",
            metavar="RUN|FILE|FOLDER",
        ),
    ],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts.", metavar="TEXT...")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Text file, one text a line.", metavar="FILE", exists=True, dir_okay=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="`.csv` or `.jsonl` file to write instead of a table.", metavar="FILE"),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts in a batch.", min=1)] = 32,
    as_json: Json = False,
) -> None:
    """Tell the labels of texts, and how probable they are.

    Examples: `kzoo predict run "a text" "another"`,
    `kzoo predict run --input texts.txt --output labels.csv`
    """
    if output is not None and output.suffix not in _WRITERS:
        raise ValueError(
            f"`--output` must end in {' or '.join(_WRITERS)}. Received: --output {output}"
        )
    given = [*(texts or ()), *(read_lines(input) or ())]
    if not given:
        raise ValueError("`TEXT...` or `--input` must have at least one text. Received: none")
    with progress_bar(f"Predict {len(given):,} texts") as progress:
        progress("load", 0.0)
        classifier = _load(source)
        progress("predict", 0.5)
        predicted = classifier.predict(given, batch_size=batch_size)
    records: list[dict[str, Any]] = [
        {
            "text": text,
            "label": label,
            "probabilities": dict(zip(classifier.labels, map(float, row), strict=True)),
        }
        for text, label, row in zip(given, predicted.labels, predicted.probabilities, strict=True)
    ]
    if output is not None:
        with whole_file(output) as unfinished:
            unfinished.write_text(_WRITERS[output.suffix](records), "utf-8")
    if as_json:
        print_json(records)
    elif output is None:
        table = make_table()
        table.add_column("label")
        table.add_column("probability", justify="right")
        table.add_column("text", no_wrap=True, overflow="ellipsis")
        for record in records:
            best = record["probabilities"][record["label"]]
            table.add_row(record["label"], f"{best:.4f}", " ".join(record["text"].split()))
        print_table("Predictions", table)


def _load(source: str) -> Any:
    """Load a classifier from wherever it lies."""
    import kzoo
    from kzoo.tasks import TextClassifier
    from kzoo.tasks.finetuning import MODEL

    path = Path(source)
    if path.is_dir() and not (path / MODEL).is_file():
        return TextClassifier.from_huggingface(path)
    classifier = kzoo.load(path / MODEL if path.is_dir() else path)
    if not isinstance(classifier, TextClassifier):
        raise ValueError(
            "`source` must be a classifier of texts, as `kzoo finetune` writes it. "
            f"Received: {source}, a {type(classifier).__name__}"
        )
    return classifier


def _as_csv(records: list[dict[str, Any]]) -> str:
    """Write a column for the probability of each label."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    labels = list(records[0]["probabilities"])
    writer.writerow(["text", "label", *(f"probability of {label}" for label in labels)])
    for record in records:
        probabilities = record["probabilities"].values()
        writer.writerow([record["text"], record["label"], *(f"{p:.6f}" for p in probabilities)])
    return file.getvalue()


def _as_jsonl(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


_WRITERS = {".csv": _as_csv, ".jsonl": _as_jsonl}
