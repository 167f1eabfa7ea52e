"""`kzoo inspect`: what is really inside an exported file."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.options import Hardware, Json
from kzoo.cli.output import print_result


def inspect_file(
    path: Annotated[
        Path, typer.Argument(help="A `.tflite` or `.onnx` file, whoever made it.", metavar="FILE")
    ],
    target: Hardware = None,
    as_json: Json = False,
) -> None:
    """Look inside a file: operations, dtypes, multiply-adds, memory, and what can run it.

    With `--target`: which operations that hardware does not take. Exits with 1 if there are any.

    Examples: `kzoo inspect model.tflite`, `kzoo inspect model.tflite --target gpu`
    """
    from kzoo_export import compatibility, inspect

    if target is None:
        print_result(inspect(path), as_json)
        return
    found = compatibility(path, target)
    print_result(found, as_json)
    raise typer.Exit(0 if found.passed else 1)
