"""`kzoo verify`: a file against the model it came from."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.inputs import Task, load_task, read_kinds, read_lines, read_run
from kzoo.cli.options import Json, Kinds, Model, Samples, TaskOption
from kzoo.cli.output import print_result, progress_bar


def verify_file(
    path: Annotated[Path, typer.Argument(help="The file to check.", metavar="FILE")],
    source: Model,
    task: TaskOption = Task.BACKBONE,
    samples: Samples = None,
    kind: Kinds = None,
    as_json: Json = False,
) -> None:
    """Run a file in its own runtime and compare it with the model it came from.

    Exits with 1 below the tolerance of its recipe. The file of a run of `kzoo finetune` is verified
    on the texts that the run was measured on, with their labels.

    Example: `kzoo verify model.tflite minilm_l6_v2 --samples sentences.txt`
    """
    from kzoo.tasks.finetuning import HELD_OUT
    from kzoo_export import verify

    kinds = read_kinds(kind)
    with progress_bar(f"Verify {path.name}") as progress:
        progress("load", 0.0)
        model = load_task(source, task)
        progress("compare", 0.2)
        given = read_run(source, HELD_OUT) if samples is None else read_lines(samples)
        result = verify(path, model, given, kinds=kinds)
    print_result(result, as_json)
    raise typer.Exit(0 if result.passed else 1)
