"""Models from presets, Hugging Face folders and `.keras` files."""

import os
import pathlib
from typing import Any

import keras

from kzoo.data.tokenizer import Tokenizer
from kzoo.models.families import FAMILIES, presets
from kzoo.models.huggingface import (
    assign,
    assign_heads,
    load_folder,
    load_folder_tokenizer,
    read_config,
    read_tokenizer,
)
from kzoo.models.keras_files import load_keras
from kzoo.models.preset import Preset, find_preset, is_preset, vocabulary_folder, weights_folder
from kzoo.models.sentences import read_sentence_settings, transformer_folder
from kzoo.weights import read_tensors

Source = str | os.PathLike[str]


def load(
    source: Source,
    weights: str = "pretrained",
    strict: bool = False,
    head: str | None = None,
) -> keras.Model:
    """Load a model.

    Where the weights of a preset are not on this machine and cannot be downloaded, an `ImportError`
    says how to get them.

    Args:
        source: A preset's name, a folder in the Hugging Face layout, or a `.keras` file; a folder
            that is called like a preset wins. Files are read in safe mode: nothing in them is
            executed, and pickles are refused.
        weights: `"pretrained"`, or `"random"` for an untrained model of the same sizes.
        strict: Whether weights that are unknown, such as those of a head of one's own, are an
            error instead of a warning.
        head: The head of a folder that the model has besides: `"masked_lm"`, `"next_sentence"`,
            `"classifier"`, `"token_classifier"` or `"span"`; the result is a `BackboneWithHead`.
            `None` for the backbone alone.

    Returns:
        The model. Its `tokenizer` is `None` where no vocabulary is at hand.

    Raises:
        ValueError: If the source is not one of these, or its content cannot be used.

    Example:
        >>> import kzoo
        >>> kzoo.load("bert_tiny", weights="random").count_params()
        4385920
    """
    if weights not in ("pretrained", "random"):
        raise ValueError(
            f"`weights` must be 'pretrained' or 'random'. Received: weights={weights!r}"
        )
    name, path = str(source), pathlib.Path(source)
    if head is not None and not path.is_dir():
        raise ValueError(
            f"`head` must be None but for a folder. Received: head={head!r}, source={name!r}"
        )
    if is_preset(source, presets()) or not path.exists():
        return _load_preset(name, find_preset(name, presets()), weights, strict)
    if path.suffix == ".keras" and path.is_file():
        if weights == "random":
            raise ValueError(
                "`weights='random'` is for presets and folders; a `.keras` file has its own "
                f"weights. Received: source={str(source)!r}"
            )
        return load_keras(path)
    if path.is_dir():
        return load_folder(path, weights, strict, head)
    raise ValueError(
        "`source` must be the name of a preset, a Hugging Face folder or a `.keras` file. "
        f"Received: source={name!r}"
    )


def load_config(source: Source) -> Any:
    """Read the sizes of a model, without its weights.

    Args:
        source: A preset's name, a folder in the Hugging Face layout, or its `config.json`.

    Returns:
        The config.

    Raises:
        ValueError: If the source is none of these.
    """
    path = pathlib.Path(source)
    if is_preset(source, presets()) or not path.exists():
        return find_preset(str(source), presets()).config
    return read_config(transformer_folder(path) / "config.json" if path.is_dir() else path)


def load_heads(model: keras.Model, source: Source) -> tuple[str, ...]:
    """Give a backbone with heads the weights of those heads that its source has.

    Args:
        model: A model with heads, made of the backbone that `load` made of the source.
        source: A preset's name or a folder.

    Returns:
        The heads that the source has; the weights of the others stay as they are.
    """
    if is_preset(source, presets()):
        folder = weights_folder(str(source), find_preset(str(source), presets()))
    else:
        folder = transformer_folder(pathlib.Path(source))
    return assign_heads(model, read_tensors(folder))


def load_tokenizer(source: Source) -> Tokenizer:
    """Load the tokenizer of a model.

    Args:
        source: A preset's name, or a folder that `kzoo.data.Tokenizer.from_folder` reads. Where the
            model is known, the tokenizer makes its inputs.

    Returns:
        The tokenizer.
    """
    if not is_preset(source, presets()) and pathlib.Path(source).is_dir():
        return load_folder_tokenizer(pathlib.Path(source))
    name = str(source)
    preset = find_preset(name, presets())
    return read_tokenizer(vocabulary_folder(name, preset), preset.config)


def _load_preset(name: str, preset: Preset, weights: str, strict: bool) -> keras.Model:
    family = FAMILIES[preset.family]
    if weights == "random":
        model = family.backbone_class(preset.config, name=name)
        folder = preset.vocabulary.find() if preset.vocabulary else None
        model.tokenizer = read_tokenizer(folder, preset.config) if folder else None
        return model
    folder = weights_folder(name, preset)
    tensors = read_tensors(folder)
    model = family.backbone_class(preset.config, name=name)
    assign(model, tensors, strict)
    model.tokenizer = read_tokenizer(folder, preset.config)
    model.sentence = read_sentence_settings(folder)
    return model
