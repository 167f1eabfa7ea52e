"""Every family of the zoo, and classifiers, in every recipe and both formats, made and verified.

A family in one format is done once its `.json` is in the folder.
"""

import json
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from kzoo_export import RECIPES, ExportError, export
from tests.kzoo.models.families import CONVERTED
from tests.kzoo.tasks.families import BACKBONES, family_classifier
from tests.kzoo.tasks.letters import letters
from tests.kzoo_export.checks import recipes_of
from tests.kzoo_export.models import family_model

FORMATS = ("tflite", "onnx")
LENGTH = 16
# Trained on texts, which they are also verified on.
CLASSIFIERS = {f"{name} classifier": name for name in BACKBONES}


def run(
    folder: Path,
    families: tuple[str, ...] = (*CONVERTED, *CLASSIFIERS),
    formats: tuple[str, ...] = FORMATS,
    recipes: tuple[str, ...] = tuple(RECIPES),
) -> bool:
    """Export what is not done yet, print a table, and say whether every file was verified."""
    folder.mkdir(parents=True, exist_ok=True)
    table = Table("family", "format", title="Least cosine of the outputs by recipe")
    for name in recipes:
        table.add_column(name, overflow="fold")
    passed = True
    for family in families:
        for format in formats:
            answer = folder / f"{family}_{format}.json"
            if not answer.is_file():
                answer.write_text(json.dumps(judge(folder, family, format, recipes), indent=2))
            found = json.loads(answer.read_text())
            passed &= all(isinstance(value, float) for value in found.values())
            cells = (found.get(name, "-") for name in recipes)
            texts = [f"{value:.4f}" if isinstance(value, float) else value for value in cells]
            table.add_row(family, format, *texts)
    Console(width=160).print(table)
    return passed


def judge(
    folder: Path, family: str, format: str, recipes: tuple[str, ...]
) -> dict[str, float | str]:
    """Export a family in every recipe: the least cosine, or what went wrong."""
    print(f"{family} {format} ...", flush=True)
    found: dict[str, float | str] = {}
    path = folder / f"made.{format}"
    samples: dict[str, Any] = {}
    if family in CLASSIFIERS:
        model: keras.Model = family_classifier(CLASSIFIERS[family])
        samples = {"samples": letters(64, 1), "calibration": letters(64, 2)[0]}
    else:
        model = family_model(family)
    for name in (name for name in recipes if name in recipes_of(format)):
        try:
            verification = export(model, path, name, length=LENGTH, **samples).verification
        except ExportError as error:
            found[name] = str(error)
        else:
            found[name] = min(output.cosine_min for output in verification.outputs)
    return found
