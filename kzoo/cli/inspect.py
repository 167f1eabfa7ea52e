"""`kzoo inspect`: what is really inside an exported file."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.options import Json
from kzoo.cli.output import print_result


def inspect_file(
    path: Annotated[
        Path, typer.Argument(help="A `.tflite` or `.onnx` file, whoever made it.", metavar="FILE")
    ],
    as_json: Json = False,
) -> None:
    """Look inside a file: operations, dtypes, multiply-adds, memory, and what can run it.

    Example: `kzoo inspect model.tflite`
    """
    from kzoo_export import inspect

    print_result(inspect(path), as_json)
