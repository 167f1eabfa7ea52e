"""The `kzoo` command: one module a subcommand, each a thin function over the public API."""

import sys

import typer

from kzoo.cli.backend import choose_backend
from kzoo.cli.bench import bench_files
from kzoo.cli.demo import run_demo
from kzoo.cli.export import ExportCommand, export_model
from kzoo.cli.finetune import finetune_model
from kzoo.cli.info import show_info
from kzoo.cli.inspect import inspect_file
from kzoo.cli.list_presets import list_presets
from kzoo.cli.output import native_logs_hidden, print_error
from kzoo.cli.predict import predict_texts
from kzoo.cli.prepare import prepare_text
from kzoo.cli.pretrain import pretrain_model
from kzoo.cli.quantize import quantize_file
from kzoo.cli.verify import verify_file

app = typer.Typer(
    name="kzoo",
    help="A Keras 3 model zoo that goes from raw text to a phone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
# The functions are not called like their modules: `kzoo.cli.export` stays a module.
app.command("list")(list_presets)
app.command("info")(show_info)
app.command("prepare")(prepare_text)
app.command("pretrain")(pretrain_model)
app.command("finetune")(finetune_model)
app.command("predict")(predict_texts)
app.command("export", cls=ExportCommand)(export_model)
app.command("quantize", cls=ExportCommand)(quantize_file)
app.command("inspect")(inspect_file)
app.command("verify")(verify_file)
app.command("bench")(bench_files)
app.command("demo")(run_demo)


def main() -> None:
    """Run the command line; a mistake of the user is one clear line and exit code 1."""
    choose_backend()
    try:
        with native_logs_hidden():
            app()
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(1)
