"""`kzoo export`: a model as a verified file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from kzoo.cli.inputs import Task, load_task, read_kinds, read_lines
from kzoo.cli.options import Json, Kinds, Length, Model, Samples, TaskOption
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

        routes = (f"{name} (`.{route.format}`)" for name, route in ROUTES.items())
        helps = {"recipe": _one_of(RECIPES), "route": _one_of(routes)}
        parameter: Any
        for parameter in self.params:
            parameter.help = helps.get(parameter.name, parameter.help)
        super().format_help(ctx, formatter)


def _one_of(names: Iterable[str]) -> str:
    """Write a choice as a sentence, such as "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}." if others else f"{last}."


def export_model(
    source: Model,
    path: Annotated[Path, typer.Argument(help="File to write: `.tflite` or `.onnx`.")],
    recipe: Annotated[str, typer.Option(help="How numbers are stored.")] = "float32",
    length: Length = 128,
    batch_size: Annotated[int, typer.Option(help="Rows of the file's inputs.", min=1)] = 1,
    task: TaskOption = Task.BACKBONE,
    samples: Samples = None,
    calibration: Samples = None,
    kind: Kinds = None,
    route: Annotated[str | None, typer.Option(help="How the model is lowered.")] = None,
    portable: Annotated[bool, typer.Option(help="ONNX: standard operators only.")] = False,
    as_json: Json = False,
) -> None:
    """Write a verified TFLite or ONNX file, and its report beside it.

    Example: `kzoo export minilm_l6_v2 model.tflite --recipe dynamic_int8 --length 128`
    """
    from kzoo_export import export

    kinds = read_kinds(kind)
    model = load_task(source, task)
    with progress_bar(f"Export {path.name}") as progress:
        report = export(
            model,
            path,
            recipe,
            length=length,
            batch_size=batch_size,
            samples=read_lines(samples),
            calibration=read_lines(calibration),
            kinds=kinds,
            route=route,
            portable=portable,
            progress=progress,
        )
    print_result(report, as_json)
