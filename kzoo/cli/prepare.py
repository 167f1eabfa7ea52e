"""`kzoo prepare`: raw text to the records that a model is pretrained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kzoo.cli.options import Json
from kzoo.cli.output import make_table, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from kzoo.data import Tokenizer


def prepare_text(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Text or JSON-lines files, `.gz` too, and folders of them.", metavar="TEXT..."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", metavar="DIR")],
    tokenizer: Annotated[
        str | None,
        typer.Option(help="A preset or a folder whose tokenizer is used.", metavar="PRESET|FOLDER"),
    ] = None,
    train_vocab: Annotated[
        int | None,
        typer.Option(help="Size of a vocabulary to train on the texts instead.", metavar="N"),
    ] = None,
    pairs: Annotated[
        str, typer.Option(help="`next_sentence`, or `none` for single texts.")
    ] = "next_sentence",
    length: Annotated[int, typer.Option(help="The longest sequence, in tokens.", min=1)] = 128,
    language: Annotated[
        str, typer.Option(help="Language of the texts, whose abbreviations end no sentence.")
    ] = "en",
    field: Annotated[str, typer.Option(help="Field of a JSON record that has the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    held_out: Annotated[
        float, typer.Option(help="Share of the documents to measure on, not to train on.")
    ] = 0.05,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one a processor.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Make of raw text the records that a model is pretrained on.

    In a text file blank lines are between documents; in JSON lines each record is one. The same
    texts and settings give the same bytes. A run that was ended goes on where it was.

    Examples: `kzoo prepare books/ --out data --tokenizer bert_tiny` and
    `kzoo prepare wiki.jsonl.gz --out data --train-vocab 8192 --length 256`
    """
    from kzoo.data.manifest import SPLITS
    from kzoo.data.prepare import prepare

    with progress_bar(f"Prepare {out}") as progress:
        progress("load the tokenizer", 0.0)
        manifest = prepare(
            sources,
            out,
            _tokenizer(tokenizer, train_vocab),
            pairs=pairs,
            length=length,
            language=language,
            field=field,
            seed=seed,
            held_out=held_out,
            workers=workers,
            progress=progress,
        ).to_dict()
    if as_json:
        print_json(manifest)
        return
    table = make_table()
    for heading in ("", *SPLITS):
        table.add_column(heading.replace("_", " "), justify="right" if heading else "left")
    columns = [_describe(manifest["totals"][split], pairs) for split in SPLITS]
    for name in columns[0]:
        table.add_row(name, *(column.get(name, "none") for column in columns))
    print_table(f"Prepared {out}", table)


def _describe(totals: dict[str, int], pairs: str) -> dict[str, str]:
    """Say what is in a split."""
    records = totals["records"]
    if not records:
        return {}
    rows = {
        "documents": f"{totals['documents']:,}",
        "records": f"{records:,}",
        "tokens": f"{totals['tokens']:,}",
        "tokens a record": f"{totals['tokens'] / records:.1f}",
    }
    if pairs != "none":
        rows["with a random second text"] = f"{1 - totals['is_next'] / records:.3f}"
    return rows


def _tokenizer(source: str | None, train_vocab: int | None) -> "Tokenizer | int":
    """Load the tokenizer, or return the size of the vocabulary to train."""
    if (source is None) == (train_vocab is None):
        raise ValueError(
            "One of `--tokenizer` and `--train-vocab` must be given. "
            f"Received: tokenizer={source}, train_vocab={train_vocab}"
        )
    if source is None:
        assert train_vocab is not None
        return train_vocab
    from kzoo.models import load_tokenizer  # loads Keras

    return load_tokenizer(source)
