"""`kzoo predict`: the labels of texts."""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from kzoo.cli.inputs import model_of_run, read_lines
from kzoo.cli.options import Json
from kzoo.cli.output import make_table, print_json, print_table, progress_bar
from kzoo.json_file import whole_file, write_json_lines


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
    """Tell the labels of texts, or of pairs of texts, and how probable they are.

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
    with progress_bar(f"Predict {len(given):,} texts") as progress:
        progress("load", 0.0)
        classifier = _load(source)
        progress("predict", 0.5)
        predicted = classifier.predict(given, batch_size=batch_size)
    records: list[dict[str, Any]] = [
        {
            **({"text": each} if isinstance(each, str) else {"text": each[0], "pair": each[1]}),
            "label": label,
            "probabilities": dict(zip(classifier.labels, map(float, row), strict=True)),
        }
        for each, label, row in zip(given, predicted.labels, predicted.probabilities, strict=True)
    ]
    if output is not None:
        _WRITERS[output.suffix](output, records)
    if as_json:
        print_json(records)
    elif output is None:
        table = make_table()
        table.add_column("label")
        table.add_column("probability", justify="right")
        table.add_column("text", no_wrap=True, overflow="ellipsis")
        for record in records:
            best = record["probabilities"][record["label"]]
            shown = (" ".join(record[name].split()) for name in ("text", "pair") if name in record)
            table.add_row(record["label"], f"{best:.4f}", " | ".join(shown))
        print_table("Predictions", table)


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
    """Write a column for the probability of each label."""
    labels = list(records[0]["probabilities"])
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        names = [name for name in ("text", "pair", "label") if name in records[0]]
        writer.writerow([*names, *(f"probability of {label}" for label in labels)])
        for record in records:
            shares = (f"{share:.6f}" for share in record["probabilities"].values())
            writer.writerow([*(record[name] for name in names), *shares])


_WRITERS = {".csv": _write_csv, ".jsonl": write_json_lines}
