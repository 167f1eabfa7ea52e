"""Models in and out of presets, Hugging Face folders and `.keras` files."""

import json
import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from kzoo.data.tokenizer import Tokenizer
from kzoo.models.backbone import ReadsText, find_tokenizer, find_tokenizers, mark_inputs
from kzoo.models.converter import Converter
from kzoo.models.families import FAMILIES, presets
from kzoo.models.preset import Preset, find_preset, is_preset, vocabulary_folder, weights_folder
from kzoo.weights import read_tensors, rename, restore, write_tensors

Source = str | os.PathLike[str]

# Where Keras keeps the files of a model inside a `.keras` file.
_ASSETS = pathlib.PurePosixPath("assets")


def load(source: Source, weights: str = "pretrained", strict: bool = False) -> keras.Model:
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
    if is_preset(source, presets()) or not path.exists():
        return _load_preset(name, find_preset(name, presets()), weights, strict)
    if path.suffix == ".keras" and path.is_file():
        if weights == "random":
            raise ValueError(
                "`weights='random'` is for presets and folders; a `.keras` file has its own "
                f"weights. Received: source={str(source)!r}"
            )
        return _load_keras(path)
    if path.is_dir():
        return _load_folder(path, weights, strict)
    raise ValueError(
        "`source` must be the name of a preset, a Hugging Face folder or a `.keras` file. "
        f"Received: source={name!r}"
    )


def load_tokenizer(source: Source) -> Tokenizer:
    """Load the tokenizer of a model.

    Args:
        source: A preset's name or a folder with `tokenizer.json` or `vocab.txt`.

    Returns:
        The tokenizer.
    """
    if not is_preset(source, presets()) and pathlib.Path(source).is_dir():
        return Tokenizer.from_folder(source)
    name = str(source)
    return Tokenizer.from_folder(vocabulary_folder(name, find_preset(name, presets())))


def save(model: keras.Model, path: Source) -> None:
    """Write a `.keras` file that has the tokenizer too, as `load` reads it.

    What `model.save` writes, with the tokenizer where the model is made by hand: of a backbone's
    input and a head's output, or of a backbone as a layer. The file appears complete or not at all.

    Args:
        model: Any model. Its tokenizer is its attribute `tokenizer` or, where it has none, that of
            the backbone it is made of.
        path: A `.keras` file, which is replaced if it exists.

    Raises:
        ValueError: If an argument is not of its kind, or the model has several tokenizers.

    Example:
        >>> import keras, kzoo  # doctest: +SKIP
        >>> backbone = kzoo.load("minilm_l6_v2")  # doctest: +SKIP
        >>> scores = keras.layers.Dense(2)(backbone.output["pooled"])  # doctest: +SKIP
        >>> kzoo.save(keras.Model(backbone.input, scores), "model.keras")  # doctest: +SKIP
        >>> kzoo.load("model.keras").tokenizer.vocab_size  # doctest: +SKIP
        30522
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a Keras model. Received: {type(model).__name__}")
    path = pathlib.Path(path)
    if path.suffix != ".keras" or path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            "`path` must be a file that ends in `.keras`, in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    tokenizers = find_tokenizers(model)
    if len(tokenizers) > 1 or not all(isinstance(each, Tokenizer) for each in tokenizers):
        raise ValueError(
            "`model.tokenizer` must be a `kzoo.data.Tokenizer`, set by hand where the backbones in "
            f"the model have several. Received: {[type(each).__name__ for each in tokenizers]}"
        )
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        file = pathlib.Path(folder, path.name)
        model.save(file)
        if tokenizers and not isinstance(model, ReadsText):
            tokenizers[0].save(assets := pathlib.Path(folder, "assets"))
            with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
                for part in sorted(assets.iterdir()):
                    archive.write(part, _ASSETS / part.name)
        file.replace(path)


def save_huggingface(model: keras.Model, folder: Source) -> None:
    """Write a folder that `transformers` loads: configuration, safetensors and tokenizer.

    The folder appears complete or not at all.

    Args:
        model: A backbone of this library, or a task made of one, whose backbone is written.
        folder: A new or empty folder.

    Raises:
        ValueError: If the model is of no known family, or the folder has content.
    """
    config = getattr(model, "config", None)
    converter = _converters().get(getattr(config, "family", ""))
    if config is None or converter is None:
        raise ValueError(
            "`model` must be a model of kzoo, of a family that Hugging Face has too: "
            f"{', '.join(_converters())}. Received: model of type {type(model).__name__}"
        )
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`folder` must be new or empty. Received: folder={str(folder)!r}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        text = json.dumps(converter.write_config(config), indent=2) + "\n"
        (temporary / "config.json").write_text(text, "utf-8")
        arrays = {path: _to_numpy(variable) for path, variable in _variables(model).items()}
        write_tensors(restore(arrays, converter.table(config)), temporary)
        if model.tokenizer is not None:
            model.tokenizer.save(temporary)
        temporary.chmod(0o755)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _converters() -> dict[str, Converter]:
    """Return the converters of the families that Hugging Face has, by `model_type`."""
    found = ((name, family.converter) for name, family in FAMILIES.items())
    return {name: converter for name, converter in found if converter is not None}


def _load_preset(name: str, preset: Preset, weights: str, strict: bool) -> keras.Model:
    family = FAMILIES[preset.family]
    if weights == "random":
        model = family.backbone_class(preset.config, name=name)
        folder = preset.vocabulary.find() if preset.vocabulary else None
        model.tokenizer = Tokenizer.from_folder(folder) if folder else None
        return model
    folder = weights_folder(name, preset)
    tensors = read_tensors(folder)
    model = family.backbone_class(preset.config, name=name)
    _assign(model, tensors, strict)
    model.tokenizer = Tokenizer.from_folder(folder)
    return model


def _load_folder(folder: pathlib.Path, weights: str, strict: bool) -> keras.Model:
    source = _read_json(folder / "config.json")
    tensors = read_tensors(folder) if weights == "pretrained" else {}
    family = _family_of(source, tensors)
    converter = _converters().get(family)
    if converter is None:
        raise ValueError(
            f"`model_type` in config.json must be one of {', '.join(_converters())}. "
            f"Received: model_type={source.get('model_type')!r} in {folder}"
        )
    names = {converter.plain_name(name) for name in tensors}
    model = FAMILIES[family].backbone_class(converter.read_config(source, names))
    if tensors:
        _assign(model, tensors, strict)
    model.tokenizer = Tokenizer.from_folder(folder) if Tokenizer.is_in(folder) else None
    return model


def _family_of(source: dict[str, Any], names: Iterable[str]) -> str:
    """Tell the family of a folder: by what its configuration says, else by its weights' names."""
    if source.get("model_type"):
        return str(source["model_type"])
    classes = set(source.get("architectures") or ())
    for name, converter in _converters().items():
        if classes & set(converter.architectures.values()):
            return name
    prefixed = {
        name
        for name, converter in _converters().items()
        if any(weight.startswith(converter.prefix) for weight in names)
    }
    return prefixed.pop() if len(prefixed) == 1 else ""


def _load_keras(path: pathlib.Path) -> keras.Model:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, ReadsText):  # made by hand, of a backbone's input or of a backbone
            model.tokenizer = _read_tokenizer(path) or find_tokenizer(model)
            mark_inputs(model, model.tokenizer)
    except Exception as error:  # Whatever a foreign file provokes, it is the file's fault.
        # Keras ends with the innermost error, and goes on with the whole configuration.
        innermost = str(error).rpartition("Exception encountered: ")[2]
        reason = innermost.split("\n", maxsplit=1)[0].split(". ", maxsplit=1)[0]
        raise ValueError(
            "The `.keras` file was refused: it is damaged, needs classes that are not registered, "
            f"or contains code ({type(error).__name__}: {reason}). Received: {path}"
        ) from error
    return model


def _read_tokenizer(path: pathlib.Path) -> Tokenizer | None:
    """Read the tokenizer that `save` put into a file."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if pathlib.PurePosixPath(name).parent == _ASSETS:
                content = archive.read(name)
                pathlib.Path(folder, pathlib.PurePosixPath(name).name).write_bytes(content)
        return Tokenizer.from_folder(folder) if Tokenizer.is_in(folder) else None


def _assign(model: Any, tensors: dict[str, np.ndarray], strict: bool) -> None:
    converter = _converters()[model.config.family]
    variables = _variables(model)
    shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
    table = converter.table(model.config)
    arrays = rename(tensors, table, shapes, converter.plain_name, strict)
    for path, array in arrays.items():
        variables[path].assign(array)


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    return {variable.path: variable for variable in model.weights}


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable.value), "float32")


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"The folder must contain config.json. Received: {path.parent}") from error
    except ValueError as error:
        raise ValueError(f"The file is not valid JSON ({error}). Received: {path}") from error
    if not isinstance(content, dict):
        raise ValueError(f"The file must contain a JSON object. Received: {path}")
    return content
