"""`kzoo demo`: the way from a published model to searching with its files."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.options import Json, Length, Model
from kzoo.cli.output import print_result, progress_bar


def run_demo(
    source: Model = "minilm_l6_v2",
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path(".demo"),
    length: Length = 128,
    as_json: Json = False,
) -> None:
    """Load a real model, export it in both formats, verify the files, and search with one.

    Example: `kzoo demo --folder files`
    """
    from kzoo_export import demo

    with progress_bar("Demo") as progress:
        result = demo.run(source, folder, length=length, progress=progress)
    print_result(result, as_json)
