"""The `kzoo` command: one thin function a subcommand, over the public API."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

BACKENDS = ("tensorflow", "jax", "torch")
ARTEFACTS = (".tflite", ".onnx")

app = typer.Typer(
    name="kzoo",
    help="A Keras 3 model zoo that goes from raw text to a phone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)


class Task(StrEnum):
    """What is exported: the bare backbone, or a task made of it."""

    BACKBONE = "backbone"
    SENTENCE_ENCODER = "sentence_encoder"


Model = Annotated[
    str, typer.Argument(help="A preset, a Hugging Face folder or a `.keras` file.", metavar="MODEL")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]
Samples = Annotated[
    Path | None,
    typer.Option(help="Text file, one sample a line.", metavar="FILE", exists=True, dir_okay=False),
]
TaskOption = Annotated[Task, typer.Option(help="What to make of the backbone.")]
Length = Annotated[int, typer.Option(help="Tokens in a row of the file's inputs.", min=1)]
Threads = Annotated[int, typer.Option(help="Threads of the runtime.", min=1)]
Repeats = Annotated[int, typer.Option(help="Timed calls of each file.", min=1)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the presets.

    Example: `kzoo list --json`
    """
    from kzoo.models import PRESETS

    rows = {name: preset.to_dict() for name, preset in PRESETS.items()}
    if as_json:
        _print_json(rows)
        return
    table = Table(title="Presets", title_justify="left")
    for column in ("name", "family", "layers", "width", "parameters", "licence", "description"):
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    for name, preset in PRESETS.items():
        config = preset.config.to_dict()
        table.add_row(
            name,
            preset.family,
            str(config["num_layers"]),
            str(config["hidden_dim"]),
            f"{preset.num_parameters:,}",
            preset.licence,
            preset.description,
        )
    out.print(table)


_NUMBERS = ("layers", "width", "parameters")


@app.command()
def info(source: Model, as_json: Json = False) -> None:
    """Describe a model, or look inside an exported file.

    Examples: `kzoo info minilm_l6_v2`, `kzoo info model.tflite`
    """
    facts = _artefact_facts(source) if source.endswith(ARTEFACTS) else _model_facts(source)
    if as_json:
        _print_json(facts)
        return
    table = Table(title=source, title_justify="left", show_header=False)
    for key, value in facts.items():
        table.add_row(key, _readable(value))
    out.print(table)


def _readable(value: Any) -> str:
    """Write a value for people: a line for each entry, none of Python's punctuation."""
    if isinstance(value, dict):
        value = [f"{name}  {each}" for name, each in value.items()]
    rows = value if isinstance(value, list | tuple) else [value]
    return "\n".join(" ".join(map(str, e.values())) if type(e) is dict else str(e) for e in rows)


@app.command()
def export(
    source: Model,
    path: Annotated[Path, typer.Argument(help="File to write: `.tflite` or `.onnx`.")],
    recipe: Annotated[str, typer.Option(help="float32, float16 or dynamic_int8.")] = "float32",
    length: Length = 128,
    batch_size: Annotated[int, typer.Option(help="Rows of the file's inputs.", min=1)] = 1,
    task: TaskOption = Task.BACKBONE,
    samples: Samples = None,
    calibration: Samples = None,
    route: Annotated[str | None, typer.Option(help="tensorflow, torch or tf2onnx.")] = None,
    portable: Annotated[bool, typer.Option(help="ONNX: standard operators only.")] = False,
    as_json: Json = False,
) -> None:
    """Write a verified TFLite or ONNX file, and its report beside it.

    Example: `kzoo export minilm_l6_v2 model.tflite --recipe dynamic_int8 --length 128`
    """
    from kzoo_export import export as export_model

    model = _build(source, task)
    with _progress_bar(f"Export {path.name}") as progress:
        report = export_model(
            model,
            path,
            recipe,
            length=length,
            batch_size=batch_size,
            samples=_read_lines(samples),
            calibration=_read_lines(calibration),
            route=route,
            portable=portable,
            progress=progress,
        )
    _print_result(report, as_json)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="The file to check.", metavar="FILE")],
    source: Model,
    task: TaskOption = Task.BACKBONE,
    samples: Samples = None,
    as_json: Json = False,
) -> None:
    """Run a file in its own runtime and compare it with the model it came from.

    Exits with 1 below the tolerance of its recipe.

    Example: `kzoo verify model.tflite minilm_l6_v2 --samples sentences.txt`
    """
    from kzoo_export import verify as verify_file

    with _progress_bar(f"Verify {path.name}") as progress:
        progress("load", 0.0)
        model = _build(source, task)
        progress("compare", 0.2)
        result = verify_file(path, model, _read_lines(samples))
    _print_result(result, as_json)
    raise typer.Exit(0 if result.passed else 1)


@app.command()
def bench(
    paths: Annotated[list[Path], typer.Argument(help="Files to time.", metavar="FILE...")],
    threads: Threads = 2,
    repeats: Repeats = 50,
    as_json: Json = False,
) -> None:
    """Time exported files side by side, interleaved, each in its own process.

    Example: `kzoo bench float.tflite int8.tflite int8.onnx --threads 4`
    """
    from kzoo_export import benchmark

    with _progress_bar("Benchmark") as progress:
        result = benchmark(paths, threads=threads, repeats=repeats, progress=progress)
    _print_result(result, as_json)


@app.command()
def demo(
    source: Model = "minilm_l6_v2",
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path(".demo"),
    length: Length = 128,
    as_json: Json = False,
) -> None:
    """Load a real model, export it in every recipe and format, verify, and search with the result.

    Example: `kzoo demo --folder files`
    """
    from kzoo_export import demo as demonstration

    with _progress_bar("Demo") as progress:
        result = demonstration.run(source, folder, length=length, progress=progress)
    _print_result(result, as_json)


def main() -> None:
    """Run the command line; a mistake of the user is one clear line and exit code 1."""
    _choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        if "--json" in sys.argv:
            _print_json({"error": type(error).__name__, "message": str(error)})
        else:
            err.print(f"[bold red]Error:[/] {type(error).__name__}: ", end="")
            err.print(str(error), markup=False, highlight=False)
        sys.exit(1)


def _choose_backend() -> None:
    """Fall back on an installed backend when the configured one is absent."""
    if "KERAS_BACKEND" in os.environ:
        return
    config = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    configured = json.loads(config.read_text())["backend"] if config.is_file() else BACKENDS[0]
    installed = [name for name in (configured, *BACKENDS) if find_spec(name)]
    if installed:
        os.environ["KERAS_BACKEND"] = installed[0]


def _build(source: str, task: Task) -> Any:
    """Load a model and make the task of it."""
    import kzoo

    model = kzoo.load(source)
    if task is Task.SENTENCE_ENCODER and isinstance(model, kzoo.models.BertBackbone):
        return kzoo.tasks.SentenceEncoder(model)
    return model


def _model_facts(source: str) -> dict[str, Any]:
    """What is known of a model; a preset is described without loading it."""
    from kzoo.models import PRESETS

    if source in PRESETS:
        return PRESETS[source].to_dict()
    import kzoo

    model = kzoo.load(source)
    config = getattr(model, "config", None)
    named = isinstance(model.output, dict)
    return {
        "class": type(model).__name__,
        "num_parameters": model.count_params(),
        "inputs": {tensor.name: list(tensor.shape) for tensor in model.inputs},
        "outputs": list(model.output) if named else list(model.output_names),
        "config": config.to_dict() if config else None,
    }


def _artefact_facts(source: str) -> dict[str, Any]:
    """What is really inside an exported file."""
    from kzoo_export import inspect

    return inspect(source).to_dict()


def _read_lines(path: Path | None) -> list[str] | None:
    """Read one sample a line, blank lines left out."""
    if path is None:
        return None
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _print_result(result: Any, as_json: bool) -> None:
    if as_json:
        _print_json(result.to_dict())
    else:
        out.print(result)


def _print_json(value: Any) -> None:
    # Straight to stdout: rich would wrap long lines.
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


@contextmanager
def _progress_bar(title: str) -> Iterator[Any]:
    """Show `progress(step, fraction)` calls as a bar on stderr, which leaves stdout to results."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def progress(step: str, fraction: float) -> None:
            bar.update(task, description=f"{title}: {step}", completed=fraction)

        yield progress
