"""A folder that is usable alone: beside an exported file, what it takes to load and feed it."""

import dataclasses
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from kzoo.models.backbone import find_tokenizer
from kzoo_export.artifact.report import Report
from kzoo_export.spec import OPEN, TensorSpec

# How each input is called by the `tokenizers` library.
_ENCODING = {"token_ids": "ids", "segment_ids": "type_ids", "padding_mask": "attention_mask"}

_EXAMPLE = '''\
"""{title}

Needs: pip install {packages}
"""

{imports}

folder = Path(__file__).resolve().parent
{texts}feed = {{
{entries}
}}

{run}
{floats}for name, array in outputs.items():
    print(name, array.dtype, array.shape)
'''

_TEXTS = """\
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
{truncation}tokenizer.enable_padding({padding})
texts = {texts}
rows = tokenizer.encode_batch({batch})
"""

# Of a file that gives integers: what they stand for.
_FLOATS = """\
# Integers by scale and zero point; those of the inputs are in config.json.
scales = {scales}
for name, (scale, zero_point) in scales.items():
    outputs[name] = (outputs[name].astype("float32") - zero_point) * scale
"""

_RUNTIMES = {
    "tflite": (
        "ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter",
        "interpreter = Interpreter(str(folder / {file}))\n"
        "outputs = interpreter.get_signature_runner()(**feed)",
    ),
    "onnx": (
        "onnxruntime",
        "import onnxruntime",
        "session = onnxruntime.InferenceSession(folder / {file})\n"
        "names = [output.name for output in session.get_outputs()]\n"
        "outputs = dict(zip(names, session.run(names, feed)))",
    ),
}


def complete_folder(model: keras.Model, report: Report) -> None:
    """Write beside an exported file what it takes to use it without kzoo.

    The files are `config.json` (signature, recipe and the model's configuration), `example.py`
    (the lines that load the file and run it once) and, for a model with a tokenizer, the files of
    the tokenizer in the Hugging Face layout. Files of these names are replaced.

    Args:
        model: The model that was exported.
        report: What `export` returned.
    """
    folder = Path(report.path).parent
    tokenizer = find_tokenizer(model)
    if tokenizer is not None:
        tokenizer.save(folder)
    config = json.dumps(_config(model, report), indent=2) + "\n"
    (folder / "config.json").write_text(config, encoding="utf-8")
    (folder / "example.py").write_text(_example(report, tokenizer), encoding="utf-8")


def _config(model: keras.Model, report: Report) -> dict[str, Any]:
    """Say what the file takes and gives, and what model it is of."""
    config: Any = getattr(model, "config", None)
    config = config if dataclasses.is_dataclass(config) else None
    signature = report.inspection
    kinds = {output.name: output.kind for output in report.verification.outputs}
    return {
        "file": Path(report.path).name,
        "format": report.format,
        "recipe": report.recipe.name,
        "inputs": [dataclasses.asdict(entry) for entry in signature.inputs],
        "outputs": [
            {**dataclasses.asdict(entry), "kind": kinds[entry.name]} for entry in signature.outputs
        ],
        "model": {
            "class": type(model).__name__,
            "config": dataclasses.asdict(config) if config is not None else None,
        },
    }


def _example(report: Report, tokenizer: Any) -> str:
    """Write a program that runs the file once."""
    runtime, load, run = _RUNTIMES[report.format]
    file = Path(report.path).name
    inputs = report.inspection.inputs
    packages, imports = ["numpy", runtime], ["import numpy as np", load]
    standard = ["from pathlib import Path"]
    texts, value = "", 'np.zeros({shape}, "{dtype}")'
    # Other inputs, such as positions of masks, are not made of a text alone.
    if tokenizer is not None and all(entry.name in _ENCODING for entry in inputs):
        packages.append("tokenizers")
        imports.append("from tokenizers import Tokenizer")
        standard.insert(0, "import sys")
        texts = _texts(inputs[0], tokenizer)
        value = 'np.array([row.{encoded} for row in rows], "{dtype}")'
    return _EXAMPLE.format(
        title=f"Run {file} once.",
        packages=" ".join(packages),
        imports="\n".join([*standard, "", *sorted(imports)]),
        texts=texts,
        entries=_entries(inputs, value, *report.verification.sizes[:1]),
        run=run.format(file=json.dumps(file)),
        floats=_floats(report.inspection.outputs),
    )


def _texts(entry: TensorSpec, tokenizer: Any) -> str:
    """Write the lines that turn texts into rows of ids, of the sizes that the file takes."""
    rows, length = entry.shape
    limit = tokenizer.max_length if length == OPEN else length
    padding = f"pad_id={tokenizer.pad_id}"
    side = {"padding": tokenizer.padding_side, "truncation": tokenizer.truncation_side}
    direction = {name: f', direction="{at}"' * (at != "right") for name, at in side.items()}
    padding += direction["padding"]
    texts = 'sys.argv[1:] or ["a text"]'
    return _TEXTS.format(
        truncation=f"tokenizer.enable_truncation({limit}{direction['truncation']})\n"
        if limit
        else "",
        padding=padding if length == OPEN else f"length={length}, {padding}",
        texts=texts if rows == OPEN else f"({texts}) * {rows}",
        batch="texts" if rows == OPEN else f"texts[:{rows}]",
    )


def _floats(outputs: Iterable[TensorSpec]) -> str:
    """Write the lines that turn outputs of integers into floats, if there are any."""
    scales = {entry.name: entry.quantization for entry in outputs if entry.quantization}
    return _FLOATS.format(scales=scales) if scales else ""


def _entries(inputs: Iterable[TensorSpec], value: str, tried: tuple[int, ...] = ()) -> str:
    """Write one line of a dictionary for each input, open axes in a size that was tried."""
    lines = []
    for entry in inputs:
        shape = tuple(
            tried[min(axis, len(tried) - 1)] if size == OPEN else size
            for axis, size in enumerate(entry.shape)
        )
        line = value.format(shape=shape, dtype=entry.dtype, encoded=_ENCODING.get(entry.name))
        lines.append(f"{json.dumps(entry.name)}: {line},")
    return textwrap.indent("\n".join(lines), "    ")
