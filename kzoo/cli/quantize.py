"""`kzoo quantize`: a float file as a smaller one, verified against it."""

from pathlib import Path
from typing import Annotated

import typer

from kzoo.cli.inputs import read_kinds, read_recipe, read_samples
from kzoo.cli.options import Hardware, IntegerIO, Json, Kinds
from kzoo.cli.output import print_result, progress_bar

Arrays = Annotated[
    Path | None,
    typer.Option(
        help="`.npz` with an array for each input, or a text file, one sample a line.",
        metavar="FILE",
        exists=True,
        dir_okay=False,
    ),
]


def quantize_file(
    source: Annotated[
        Path, typer.Argument(help="A float `.tflite` or `.onnx` file, whoever made it.")
    ],
    path: Annotated[Path, typer.Argument(help="File to write, of the same format.")],
    recipe: Annotated[str, typer.Option(help="How numbers are stored.")] = "dynamic_int8",
    samples: Arrays = None,
    calibration: Arrays = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="What makes inputs of texts: a preset or a folder.", metavar="MODEL"),
    ] = None,
    kind: Kinds = None,
    portable: Annotated[bool, typer.Option(help="ONNX: standard operators only.")] = False,
    integer_io: IntegerIO = False,
    target: Hardware = None,
    as_json: Json = False,
) -> None:
    """Quantize a float file, and verify the result against it in the same runtime.

    Examples: `kzoo quantize float.tflite int8.tflite --samples inputs.npz`,
    `kzoo quantize bert.onnx int8.onnx --tokenizer minilm_l6_v2 --samples sentences.txt`
    """
    import kzoo
    from kzoo_export import quantize

    with progress_bar(f"Quantize {source.name}") as progress:
        report = quantize(
            source,
            path,
            read_recipe(recipe, integer_io),
            samples=read_samples(samples),
            calibration=read_samples(calibration),
            tokenizer=None if tokenizer is None else kzoo.load_tokenizer(tokenizer),
            kinds=read_kinds(kind),
            portable=portable,
            target=target,
            progress=progress,
        )
    print_result(report, as_json)
