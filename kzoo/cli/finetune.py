"""`kzoo finetune`: labeled texts to a trained classifier."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kzoo.arguments import check_choice
from kzoo.cli.options import Json
from kzoo.cli.output import (
    clock,
    make_table,
    print_facts,
    print_json,
    print_table,
    progress_bar,
)
from kzoo.cli.precision import PRECISIONS, check_precision, made_in


def finetune_model(  # noqa: PLR0913 (each option of the command is an argument)
    data: Annotated[
        Path,
        typer.Argument(
            help="A `.csv`, `.tsv` or `.jsonl` file; a folder of such files called train, "
            "validation and test; or a folder of `.txt` files for each label.",
            metavar="DATA",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="A preset, a Hugging Face folder or a `.keras` file.",
            metavar="PRESET|FOLDER|FILE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", metavar="RUN")],
    text: Annotated[
        str | None, typer.Option(help="Column of texts; guessed.", metavar="COLUMN")
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Column of second texts; guessed.", metavar="COLUMN")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of labels; guessed.", metavar="COLUMN")
    ] = None,
    problem: Annotated[
        str,
        typer.Option(
            help="What labels are: single_label: one of each text; multi_label: any number, with "
            "commas between them; regression: numbers.",
        ),
    ] = "single_label",
    test: Annotated[
        float, typer.Option(help="Share to measure on at the end, if DATA has no part `test`.")
    ] = 0.2,
    validation: Annotated[
        float,
        typer.Option(
            help="Share of the rest to choose the best epoch by, if DATA has no part "
            "`validation`; 0: the last epoch is kept."
        ),
    ] = 0.1,
    length: Annotated[int, typer.Option(help="Most tokens of a text.", min=2)] = 128,
    epochs: Annotated[int, typer.Option(help="Passes over the texts.", min=1)] = 3,
    batch_size: Annotated[int, typer.Option(help="Texts in a batch.", min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(help="The highest rate, of AdamW.")] = 5e-5,
    layer_decay: Annotated[
        float | None,
        typer.Option(help="Rate of a block against that of the next one, such as 0.9."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without a lower validation loss that end training.", min=1),
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Give all labels the same weight in the loss.")
    ] = False,
    lora: Annotated[
        int | None,
        typer.Option(
            help="Train low-rank changes of this rank, and the head, in place of all weights.",
            metavar="RANK",
            min=1,
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = "float32",
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Train a classifier on labeled texts and measure it on texts that were held out.

    Writes into RUN the classifier as `model.keras` and the folder `huggingface`, `README.md` (the
    model card), pictures, `held_out.jsonl` and `run.json`. The same command
    goes on after an interruption. Duplicates and texts with two labels are removed.

    Examples: `kzoo finetune reviews.csv --model minilm_l6_v2 --out run`,
    `kzoo finetune pairs.tsv --model bert_base --text premise --pair hypothesis --out run`,
    `kzoo finetune stars.jsonl --model bert_tiny --problem regression --out run`,
    then `kzoo predict run "a text"` and `kzoo export run model.tflite --recipe dynamic_int8`
    """
    from kzoo.problems import PROBLEMS

    check_choice(PRECISIONS, precision=precision)
    check_choice(PROBLEMS, problem=problem)
    with progress_bar(f"Fine-tune {out}") as progress:
        progress("read the data", 0.0)
        from kzoo.data.labeled import read_labeled
        from kzoo.data.splitting import make_parts

        found = read_labeled(data, text, pair, label, problem)
        cleaned = make_parts(found.parts, test, validation, seed)
        progress("load", 0.0)
        import keras

        from kzoo.tasks import finetune

        keras.utils.set_random_seed(seed)
        # Numbers have no names of their own.
        labels = PROBLEMS[problem].names(cleaned.parts["train"].labels) or [found.columns["label"]]
        classifier = _load(model, labels, length, precision, problem)
        result = finetune(
            classifier,
            cleaned.parts,
            out,
            epochs,
            batch_size,
            learning_rate,
            layer_decay,
            patience,
            "balanced" if balanced else None,
            lora,
            seed,
            progress,
            {
                "model": model,
                **_license_of(model),
                "precision": precision,
                "data": data.name,
                "columns": found.columns,
                "removed": {
                    name: getattr(cleaned, name) for name in ("duplicates", "conflicts", "leaks")
                },
                "command": shlex.join(["kzoo", *sys.argv[1:]]),
            },
        )
    if as_json:
        print_json(result)
        return
    print_facts(f"Fine-tuned {out}", _describe(result))
    if problem != "regression":
        print_table("", _by_label(result))


def _load(source: str, labels: list[str], length: int, precision: str, problem: str) -> Any:
    """Make a classifier of a model."""
    import kzoo

    with made_in(precision):
        backbone = kzoo.load(source)
        check_precision(backbone, source, precision)
        return kzoo.tasks.TextClassifier(backbone, labels, length, problem=problem)


def _license_of(source: str) -> dict[str, str]:
    """Return the license of the weights of a preset."""
    from kzoo.models.families import presets
    from kzoo.models.preset import is_preset

    return {"license": presets()[source].license} if is_preset(source, presets()) else {}


def _describe(result: dict[str, Any]) -> dict[str, str]:
    """Say in a few lines how training went."""
    from kzoo.problems import named_scores
    from kzoo.tasks.model_card import PICTURES

    picture = PICTURES[result["problem"]][1]
    removed = {name: count for name, count in result["removed"].items() if count}
    rows = {
        "columns": ", ".join(f"{name}: {column}" for name, column in result["columns"].items()),
        "rows": ", ".join(f"{part} {count:,}" for part, count in result["rows"].items()),
    }
    if removed:
        rows["removed"] = ", ".join(f"{count:,} {name}" for name, count in removed.items())
    return {
        **rows,
        "model": f"{result['model']}, {_parameters(result)}",
        "epochs": f"{result['epochs']}, weights of epoch {result['best_epoch']}",
        "time": clock(result["seconds"]),
        **{name: f"{value:.4f}" for name, value in named_scores(result["scores"]).items()},
        "written": f"model.keras, huggingface, README.md, curves.png, {picture}",
    }


def _parameters(result: dict[str, Any]) -> str:
    """Say how many parameters there are and, where not all are, how many were trained."""
    count, trained = result["parameters"], result["trained_parameters"]
    few = f", {trained:,} trained ({trained / count:.2%})" if trained < count else ""
    return f"{count:,} parameters{few}"


def _by_label(result: dict[str, Any]) -> Any:
    """Make the table of labels: F1 and, of one label each, how many texts, how many were found."""
    table = make_table()
    table.add_column("label")
    scores = result["scores"]
    confusion = scores.get("confusion")
    for name in ("texts", "right", "F1") if confusion else ("F1",):
        table.add_column(name, justify="right")
    for index, label in enumerate(result["labels"]):
        row = confusion[index] if confusion else ()
        counts = (f"{sum(row):,}", f"{row[index]:,}") if confusion else ()
        table.add_row(label, *counts, f"{scores['f1'][label]:.4f}")
    return table
