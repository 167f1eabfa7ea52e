"""Models in and out of `.keras` files, their tokenizers inside."""

import os
import pathlib
import tempfile
import zipfile

import keras

from kzoo.data.tokenizer import Tokenizer
from kzoo.models.backbone import ReadsText, find_tokenizer, find_tokenizers, mark_inputs

# Where Keras keeps the files of a model inside a `.keras` file.
_ASSETS = pathlib.PurePosixPath("assets")


def save(model: keras.Model, path: str | os.PathLike[str]) -> None:
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


def load_keras(path: pathlib.Path) -> keras.Model:
    """Load a `.keras` file in safe mode, with the tokenizer that is in it.

    Args:
        path: The file.

    Returns:
        The model.

    Raises:
        ValueError: If the file is damaged, needs unknown classes, or contains code.
    """
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
