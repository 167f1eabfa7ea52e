"""Models in and out of folders in the Hugging Face layout."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_choice
from kzoo.data.tokenizer import Tokenizer
from kzoo.json_file import read_json_object, write_json
from kzoo.models.converter import Converter, heads_of
from kzoo.models.families import FAMILIES, converters
from kzoo.models.heads import CLASSIFIERS, BackboneWithHead, converter_of
from kzoo.models.sentences import (
    read_sentence_settings,
    transformer_folder,
    write_sentence_settings,
)
from kzoo.models.variables import arrays_by_path, variables_by_path
from kzoo.problems import PROBLEMS
from kzoo.weights import read_tensors, rename, restore, write_tensors


def save_huggingface(model: keras.Model, folder: str | os.PathLike[str]) -> None:
    """Write a folder that `transformers` loads: configuration, safetensors and tokenizer.

    The folder appears complete or not at all.

    Args:
        model: A backbone of this library, with a head or without; or a task made of one.
        folder: A new or empty folder.

    Raises:
        ValueError: If the model is of no known family, Hugging Face has no class with its head, or
            the folder has content.
    """
    config = getattr(model, "config", None)
    converter = converters().get(getattr(config, "family", ""))
    if config is None or converter is None:
        raise ValueError(
            "`model` must be a model of kzoo, of a family that Hugging Face has too: "
            f"{', '.join(converters())}. Received: model of type {type(model).__name__}"
        )
    head = getattr(model, "head", None)
    converter.check_head(head)
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`folder` must be new or empty. Received: folder={str(folder)!r}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_config(model, converter, temporary / "config.json")
        arrays = arrays_by_path(model)
        # The dense layer of a sentence encoder is no part of the transformer.
        dense = getattr(model, "dense", None)
        for variable in dense.weights if dense is not None else ():
            del arrays[variable.path]
        table = converter.written_table(config, head)
        write_tensors(restore(arrays, table), temporary)
        if model.tokenizer is not None:
            model.tokenizer.save(temporary)
        if getattr(model, "sentence", None) is not None and model.sentence.refusal is None:
            write_sentence_settings(model.sentence, config.hidden_dim, temporary)
        temporary.chmod(0o755)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_folder(
    root: pathlib.Path, weights: str, strict: bool, head: str | None = None
) -> keras.Model:
    """Load a folder.

    Args:
        root: A folder of a model, or of sentence-transformers.
        weights: `"pretrained"`, or `"random"` for an untrained model of the same sizes.
        strict: Whether weights that are unknown are an error instead of a warning.
        head: The head that the model has besides, or `None`.

    Returns:
        The model, with the tokenizer where the folder has one.

    Raises:
        ValueError: If the folder's content cannot be used.
    """
    sentence = read_sentence_settings(root)
    folder = transformer_folder(root)
    source = _read_settings(folder / "config.json")
    tensors = read_tensors(folder) if weights == "pretrained" else {}
    family = _family_of(source, tensors, folder)
    converter = converters()[family]
    names = {converter.plain_name(name) for name in tensors}
    model = FAMILIES[family].backbone_class(converter.read_config(source, names))
    model.sentence = sentence
    model.tokenizer = read_tokenizer(folder, model.config) if Tokenizer.is_in(folder) else None
    if head is not None:
        model = _with_head(model, head, source)
    if tensors:
        assign(model, tensors, strict)
    return model


def load_folder_tokenizer(root: pathlib.Path) -> Tokenizer:
    """Load the tokenizer of a folder, for the inputs of its model where that is known.

    Args:
        root: A folder of a model, of sentence-transformers, or of a tokenizer alone.

    Returns:
        The tokenizer.
    """
    folder = transformer_folder(root)
    try:
        config = read_config(folder / "config.json")
    except ValueError:  # No model of this library is described: its tokenizer may be of use.
        return Tokenizer.from_folder(folder)
    return read_tokenizer(folder, config)


def read_tokenizer(folder: pathlib.Path, config: Any) -> Tokenizer:
    """Read the tokenizer of a model.

    Args:
        folder: The folder of the model or of its vocabulary.
        config: The config of the model.

    Returns:
        The tokenizer, which makes the inputs of the model.

    Raises:
        ValueError: If it pads a side on which the model cannot have padding.
    """
    tokenizer = Tokenizer.from_folder(folder).for_inputs(config.input_names)
    if config.position_start and tokenizer.padding_side == "left":
        raise ValueError(
            "`padding_side` of tokenizer_config.json must be 'right': the positions of this model "
            f"are counted from the first token on. Received: padding_side='left' in {folder}"
        )
    return tokenizer


def _with_head(backbone: Any, head: str, source: dict[str, Any]) -> keras.Model:
    """Put a new head on a backbone, with the labels and the dropout rate of a configuration."""
    setting = converter_of(backbone).head_settings.get(head, {}).get("dropout", "")
    named = source.get("id2label") or {}
    labels = [named[key] for key in sorted(named, key=int)] or source.get("num_labels", 2)
    problem = _read_problem(source) if head == "classifier" else None
    return BackboneWithHead(backbone, head, labels, source.get(setting), problem=problem)


def _read_problem(source: dict[str, Any]) -> str | None:
    """Read what a classifier tells, where a configuration says so."""
    found = source.get("problem_type")
    names = {each.huggingface: name for name, each in PROBLEMS.items()}
    if found is not None:
        check_choice(names, problem_type=found)
    return names.get(str(found))


def _write_config(model: Any, converter: Converter, path: pathlib.Path) -> None:
    """Write `config.json`: the sizes of the backbone, and what the head has besides."""
    head = getattr(model, "head", None)
    if head is None:
        content = converter.write_config(model.config)
    else:
        labels = model.labels if head in CLASSIFIERS else ()
        content = converter.write_config(model.config, head, labels)
        setting = converter.head_settings.get(head, {}).get("dropout")
        if setting is not None:
            content[setting] = model.dropout
        problem = getattr(model, "problem", None)
        if problem is not None:
            content["problem_type"] = PROBLEMS[problem].huggingface
    write_json(path, content)


def _family_of(source: dict[str, Any], names: Iterable[str], folder: pathlib.Path) -> str:
    """Tell the family of a folder: by what its configuration says, else by its weights' names."""
    found = source.get("model_type") or _guess_family(source, names)
    if found not in converters():
        raise ValueError(
            f"`model_type` in config.json must be one of {', '.join(converters())}. "
            f"Received: model_type={source.get('model_type')!r} in {folder}"
        )
    return str(found)


def _guess_family(source: dict[str, Any], names: Iterable[str]) -> str:
    """Tell the family by the architecture, else by the prefix of the weights' names."""
    classes = set(source.get("architectures") or ())
    for name, converter in converters().items():
        if classes & set(converter.architectures.values()):
            return name
    prefixed = {
        name
        for name, converter in converters().items()
        if any(weight.startswith(converter.prefix) for weight in names)
    }
    return prefixed.pop() if len(prefixed) == 1 else ""


def assign(model: Any, tensors: dict[str, np.ndarray], strict: bool) -> None:
    """Give a model the weights of a folder.

    Args:
        model: The backbone, with a head or without.
        tensors: Arrays by Hugging Face's names.
        strict: Whether weights that are unknown are an error instead of a warning.

    Raises:
        ValueError: If the weights do not match the model; the message lists both sides.
    """
    converter = converters()[model.config.family]
    variables = variables_by_path(model)
    shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
    table = converter.table(model.config, getattr(model, "head", None))
    arrays = rename(tensors, table, shapes, converter.plain_name, strict)
    for path, array in arrays.items():
        variables[path].assign(array)


def assign_heads(model: Any, tensors: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Give a model the weights of those of its heads that a folder has.

    Args:
        model: A backbone with heads.
        tensors: Arrays by Hugging Face's names.

    Returns:
        The heads; the weights of the others stay as they are.

    Raises:
        ValueError: If the folder has a part of a head, or one of other sizes.
    """
    converter = converters()[model.config.family]
    variables = variables_by_path(model)
    found = []
    for head in heads_of(model.head):
        table = converter.tables[head]
        own = {name: each for name, each in tensors.items() if converter.plain_name(name) in table}
        if own:
            shapes = {p: tuple(v.shape) for p, v in variables.items() if p.startswith(f"{head}/")}
            for path, array in rename(own, table, shapes, converter.plain_name).items():
                variables[path].assign(array)
            found.append(head)
    return tuple(found)


def read_config(path: pathlib.Path) -> Any:
    """Read the sizes of a model.

    Args:
        path: A `config.json` in the Hugging Face layout.

    Returns:
        The config, with all parts that the family may have.

    Raises:
        ValueError: If there is no such file, or it is not of a known family.
    """
    source = _read_settings(path)
    return converters()[_family_of(source, (), path.parent)].read_config(source, ())


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"The folder must contain {path.name}. Received: {path.parent}")
    return read_json_object(path)
