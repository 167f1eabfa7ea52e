"""`kzoo bench`: exported files timed side by side."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.options import Json
from kzoo.cli.output import print_result, progress_bar


def bench_files(
    paths: Annotated[list[Path], typer.Argument(help="Files to time.", metavar="FILE...")],
    threads: Annotated[int, typer.Option(help="Threads of the runtime.", min=1)] = 2,
    repeats: Annotated[int, typer.Option(help="Timed calls of each file.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """Time exported files side by side, interleaved, each in its own process.

    Example: `kzoo bench float.tflite int8.tflite int8.onnx --threads 4`
    """
    from kzoo_export import benchmark

    with progress_bar("Benchmark") as progress:
        result = benchmark(paths, threads=threads, repeats=repeats, progress=progress)
    print_result(result, as_json)
