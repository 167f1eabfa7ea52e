"""What the commands read: models, samples and kinds of tensors."""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Any

# Of the slowest recipes this many take half a minute.
_MOST_SAMPLES = 512


class Task(StrEnum):
    """What is exported: the bare backbone, or a task made of it."""

    BACKBONE = "backbone"
    SENTENCE_ENCODER = "sentence_encoder"


def load_task(source: str, task: Task) -> Any:
    """Load a model and make the task of it.

    Args:
        source: A preset, a Hugging Face folder, a `.keras` file or what `kzoo finetune` wrote.
        task: The task; a model that is not a backbone is left as it is.

    Returns:
        The Keras model.
    """
    import kzoo

    model = kzoo.load(model_of_run(source) or source)
    if task is Task.SENTENCE_ENCODER and isinstance(model, kzoo.models.BertBackbone):
        return kzoo.tasks.SentenceEncoder(model)
    return model


def model_of_run(source: str) -> Path | None:
    """Find the model of a run of `kzoo finetune`.

    Args:
        source: Where a model is.

    Returns:
        The file, or `None` where the source is no such run.
    """
    from kzoo.tasks.finetuning import MODEL

    path = Path(source, MODEL)
    return path if path.is_file() else None


def read_run(source: str, name: str) -> Any:
    """Read labeled texts that a run of `kzoo finetune` has kept.

    Args:
        source: Where a model is.
        name: The file that has them.

    Returns:
        Texts or pairs from all over the file, `_MOST_SAMPLES` at most, and their labels; `None`
        where the source is no such run.
    """
    from kzoo.data.labeled import read_labeled
    from kzoo.json_file import read_json_object
    from kzoo.tasks.finetuning import RUN

    path = Path(source, name)
    if not path.is_file():
        return None
    problem = read_json_object(Path(source, RUN)).get("problem", "single_label")
    data = read_labeled(path, problem=problem).parts["all"]
    step = -(-len(data.texts) // _MOST_SAMPLES)
    return data.x[::step], data.labels[::step]


def read_recipe(name: str, integer_io: bool) -> Any:
    """Look a recipe up.

    Args:
        name: Its name.
        integer_io: Whether inputs and outputs are to be integers.

    Returns:
        The recipe.
    """
    from kzoo_export.recipes import get_recipe

    recipe = get_recipe(name)
    return dataclasses.replace(recipe, float_io=False) if integer_io else recipe


def read_lines(path: Path | None) -> list[str] | None:
    """Read one sample a line, blank lines left out.

    Args:
        path: A text file in UTF-8, or `None`.

    Returns:
        The samples, or `None` where there is no file.
    """
    if path is None:
        return None
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_samples(path: Path | None) -> Any:
    """Read samples for a file: arrays by input name, or texts.

    Args:
        path: An `.npz` file, a text file in UTF-8 with one sample a line, or `None`.

    Returns:
        What the exporter takes, or `None` where there is no file.
    """
    if path is None or path.suffix != ".npz":
        return read_lines(path)
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def read_kinds(pairs: list[str] | None) -> dict[str, str] | None:
    """Read what `--kind` says of inputs and outputs.

    Args:
        pairs: `NAME=KIND` each, or `None` where the option is absent.

    Returns:
        Kind by name, or `None` where nothing is said.

    Raises:
        ValueError: If a name, the `=` or a kind is missing.
    """
    kinds = {}
    for pair in pairs or ():
        name, _, kind = pair.rpartition("=")
        if not (name and kind):
            raise ValueError(
                f"`--kind` must be NAME=KIND, such as scores=class_logits. Received: {pair!r}"
            )
        kinds[name] = kind
    return kinds or None


def read_size(option: str, text: str) -> int | None:
    """Read the size of an axis.

    Args:
        option: The option that has it.
        text: A number or `open`.

    Returns:
        The size, or `None` for an open axis.

    Raises:
        ValueError: If it is neither.
    """
    if text == "open":
        return None
    if not (text.isdecimal() and int(text)):
        raise ValueError(f"`{option}` must be a positive integer or `open`. Received: {text}")
    return int(text)
