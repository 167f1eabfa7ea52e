"""`kzoo predict`: the labels of texts."""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from kzoo.cli.inputs import model_of_run, read_lines
from kzoo.cli.options import Json
from kzoo.cli.output import make_table, print_json, print_table, progress_bar
from kzoo.json_file import whole_file, write_json_lines

# What records have of a text, and what is told of it.
_TEXTS, _TOLD = ("text", "pair"), ("label", "labels", "value")


def predict_texts(
    source: Annotated[
        str,
        typer.Argument(
            help="What `kzoo finetune` wrote; a classifier's `.tflite`, `.onnx` or `.keras` file; "
            "or a Hugging Face folder of one.",
            metavar="RUN|FILE|FOLDER",
        ),
    ],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts.", metavar="TEXT...")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Text file, one text a line; or a `.csv`, `.tsv` or `.jsonl` file, whose columns "
            "are guessed.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of texts of such a file.", metavar="COLUMN")
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Column of second texts.", metavar="COLUMN")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="`.csv` or `.jsonl` file to write instead of a table.", metavar="FILE"),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts in a batch.", min=1)] = 32,
    as_json: Json = False,
) -> None:
    """Tell the labels of texts, or of pairs of texts, and how probable they are, or a number.

    Examples: `kzoo predict run "a text" "another"`,
    `kzoo predict clf.tflite --input texts.txt --output labels.csv`
    """
    if output is not None and output.suffix not in _WRITERS:
        raise ValueError(
            f"`--output` must end in {' or '.join(_WRITERS)}. Received: --output {output}"
        )
    given = [*(texts or ()), *_read(input, text, pair)]
    if not given:
        raise ValueError("`TEXT...` or `--input` must have at least one text. Received: none")
    from kzoo.problems import PROBLEMS

    with progress_bar(f"Predict {len(given):,} texts") as progress:
        progress("load", 0.0)
        classifier = _load(source)
        progress("predict", 0.5)
        predicted = classifier.predict(given, batch_size=batch_size)
    told = PROBLEMS[classifier.problem].to_records(predicted, classifier.labels)
    records: list[dict[str, Any]] = [
        {**({"text": each} if isinstance(each, str) else {"text": each[0], "pair": each[1]}), **one}
        for each, one in zip(given, told, strict=True)
    ]
    if output is not None:
        _WRITERS[output.suffix](output, records)
    if as_json:
        print_json(records)
    elif output is None:
        print_table("Predictions", _table(records))


def _table(records: list[dict[str, Any]]) -> Any:
    """Make a line of each text: what is told of it, and how probable that is."""
    table = make_table()
    told = next(name for name in _TOLD if name in records[0])
    table.add_column(told, justify="right" if told == "value" else "left")
    if told != "value":
        table.add_column("probability", justify="right")
    table.add_column("text", no_wrap=True, overflow="ellipsis")
    for record in records:
        text = " | ".join(" ".join(record[name].split()) for name in _TEXTS if name in record)
        if told == "value":
            table.add_row(f"{record[told]:.4f}", text)
            continue
        labels = record[told] if told == "labels" else [record[told]]
        shares = (f"{record['probabilities'][label]:.4f}" for label in labels)
        table.add_row(", ".join(labels), ", ".join(shares), text)
    return table


def _read(path: Path | None, text: str | None, pair: str | None) -> list[Any]:
    """Read the texts of a file."""
    from kzoo.data.labeled import read_unlabeled
    from kzoo.data.tables import is_table

    if path is not None and is_table(path):
        return read_unlabeled(path, text, pair)
    for name, column in (("--text", text), ("--pair", pair)):
        if column is not None:
            raise ValueError(
                f"`{name}` must come with an `--input` that has columns. Received: {name} {column}"
            )
    return read_lines(path) or []


def _load(source: str) -> Any:
    """Load a classifier from wherever it lies."""
    if Path(source).suffix in (".tflite", ".onnx"):
        from kzoo_export import load_classifier

        return load_classifier(source)
    import kzoo
    from kzoo.tasks import TextClassifier

    path = model_of_run(source) or Path(source)
    if path.is_dir():
        return TextClassifier.from_huggingface(path)
    classifier = kzoo.load(path)
    if not isinstance(classifier, TextClassifier):
        raise ValueError(
            "`source` must be a classifier of texts, as `kzoo finetune` writes it. "
            f"Received: {source}, a {type(classifier).__name__}"
        )
    return classifier


def _write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    """Write what is told and, of labels, a column for the probability of each."""
    labels = list(records[0].get("probabilities", ()))
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        names = [name for name in (*_TEXTS, *_TOLD) if name in records[0]]
        writer.writerow([*names, *(f"probability of {label}" for label in labels)])
        for record in records:
            shares = (f"{record['probabilities'][label]:.6f}" for label in labels)
            values = (record[name] for name in names)
            told = (",".join(each) if isinstance(each, list) else each for each in values)
            writer.writerow([*told, *shares])


_WRITERS = {".csv": _write_csv, ".jsonl": write_json_lines}
