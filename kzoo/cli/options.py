"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.inputs import Task

Model = Annotated[
    str,
    typer.Argument(
        help="A preset, a Hugging Face folder, a `.keras` file or a run of `kzoo finetune`.",
        metavar="MODEL",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]
Samples = Annotated[
    Path | None,
    typer.Option(help="Text file, one sample a line.", metavar="FILE", exists=True, dir_okay=False),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        help="What an output or input is, such as `scores=class_logits`. Repeat it for several.",
        metavar="NAME=KIND",
    ),
]
IntegerIO = Annotated[
    bool,
    typer.Option(
        "--integer-io",
        help="TFLite, static recipes: integers as inputs and outputs too, with scales reported.",
    ),
]
Hardware = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="Hardware that must take every operation: cpu, gpu, npu_int8, npu_int16 or "
        "microcontroller.",
        metavar="NAME",
    ),
]
TaskOption = Annotated[Task, typer.Option(help="What to make of the backbone.")]
Length = Annotated[int, typer.Option(help="Tokens in a row of the file's inputs.", min=1)]
