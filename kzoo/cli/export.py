"""`kzoo export`: a model as a verified file."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from kzoo.cli.inputs import (
    Task,
    load_task,
    read_kinds,
    read_lines,
    read_recipe,
    read_run,
    read_size,
)
from kzoo.cli.options import Hardware, IntegerIO, Json, Kinds, Model, Samples, TaskOption
from kzoo.cli.output import print_result, progress_bar


class ExportCommand(TyperCommand):
    """The command, with its recipes and routes read from the exporter when help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help.

        Args:
            ctx: Context of the call.
            formatter: Where the help goes.
        """
        from kzoo_export import RECIPES
        from kzoo_export.lowering.routes import ROUTES
        from kzoo_export.spec import RUNTIMES
        from kzoo_export.target import formats_of

        routes = (f"{name} (`.{route.format}`)" for name, route in ROUTES.items())
        formats = {name: formats_of(recipe) for name, recipe in RECIPES.items()}
        recipes = (
            name if len(having) == len(RUNTIMES) else f"{name} (`.{', '.join(having)}`)"
            for name, having in formats.items()
        )
        helps = {"recipe": _one_of(recipes), "route": _one_of(routes)}
        parameter: Any
        for parameter in self.params:
            parameter.help = helps.get(parameter.name, parameter.help)
        super().format_help(ctx, formatter)


def _one_of(names: Iterable[str]) -> str:
    """Write a choice as a sentence, such as "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}." if others else f"{last}."


def export_model(  # noqa: PLR0913 (each option of the command is an argument)
    source: Model,
    path: Annotated[Path, typer.Argument(help="File to write: `.tflite` or `.onnx`.")],
    recipe: Annotated[str, typer.Option(help="How numbers are stored.")] = "float32",
    length: Annotated[
        str | None,
        typer.Option(
            help="Tokens in a row, or `open`. By default the model's own, else 128.",
            metavar="N|open",
        ),
    ] = None,
    batch_size: Annotated[
        str, typer.Option(help="Rows of the file's inputs, or `open`.", metavar="N|open")
    ] = "1",
    task: TaskOption = Task.BACKBONE,
    samples: Samples = None,
    calibration: Samples = None,
    kind: Kinds = None,
    route: Annotated[str | None, typer.Option(help="How the model is lowered.")] = None,
    portable: Annotated[bool, typer.Option(help="ONNX: standard operators only.")] = False,
    integer_io: IntegerIO = False,
    target: Hardware = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Write the file into this folder, with its tokenizer, config and an example.",
            file_okay=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Show route, signature, bounds and size; make nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a verified TFLite or ONNX file, and its report beside it.

    Examples: `kzoo export minilm_l6_v2 model.tflite --recipe dynamic_int8 --length 128`,
    `kzoo export minilm_l6_v2 model.onnx --length open --batch-size open --folder app`

    A run of `kzoo finetune` is verified on the texts that it was measured on, and calibrated on
    some that it was trained on.
    """
    from kzoo.tasks.finetuning import CALIBRATION, HELD_OUT
    from kzoo_export import complete_folder, export, plan
    from kzoo_export.source.prepare import has_open_length

    if folder is not None and (dry_run or path.name != str(path)):
        raise ValueError(
            "`--folder` must come with the name of a file, and without `--dry-run`. "
            f"Received: {path}{', --dry-run' if dry_run else ''}"
        )
    options: dict[str, Any] = {
        "batch_size": read_size("--batch-size", batch_size),
        "samples": read_lines(samples),
        "calibration": read_lines(calibration),
        "kinds": read_kinds(kind),
        "route": route,
        "portable": portable,
        "target": target,
    }
    if length is not None:
        options["length"] = read_size("--length", length)
    if samples is None:
        options["samples"] = read_run(source, HELD_OUT)
        if calibration is None:
            options["calibration"] = read_run(source, CALIBRATION)
    chosen = read_recipe(recipe, integer_io)
    model = load_task(source, task)
    if length is None and has_open_length(model):
        options["length"] = getattr(model, "length", 128)
    if dry_run:
        print_result(plan(model, path, chosen, **options), as_json)
        return
    with _made(folder) as made, progress_bar(f"Export {path.name}") as progress:
        report = export(model, made / path, chosen, **options, progress=progress)
        if folder is not None:
            complete_folder(model, report)
    print_result(report, as_json)


@contextlib.contextmanager
def _made(folder: Path | None) -> Iterator[Path]:
    """Make the folder of a file, and remove it if the file could not be made."""
    if folder is None or folder.is_dir():
        yield folder or Path()
        return
    first = next(path for path in (*reversed(folder.parents), folder) if not path.exists())
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(first)
        raise
