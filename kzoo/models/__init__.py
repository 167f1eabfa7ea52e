"""The models: their presets, and loading and saving.

Attributes are imported on first use, so that the presets can be read without a backend. The configs
and backbones are those of `kzoo.models.families`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kzoo.models.families import classes, presets

if TYPE_CHECKING:
    from kzoo.models.heads import BackboneWithHead
    from kzoo.models.huggingface import save_huggingface
    from kzoo.models.keras_files import save
    from kzoo.models.keras_hub import from_keras_hub, to_keras_hub
    from kzoo.models.loading import load, load_tokenizer
    from kzoo.models.preset import Preset

    PRESETS: dict[str, Preset]

_LAZY = {
    **classes(),
    "BackboneWithHead": ("kzoo.models.heads", "BackboneWithHead"),
    "Preset": ("kzoo.models.preset", "Preset"),
    "from_keras_hub": ("kzoo.models.keras_hub", "from_keras_hub"),
    "load": ("kzoo.models.loading", "load"),
    "load_tokenizer": ("kzoo.models.loading", "load_tokenizer"),
    "save": ("kzoo.models.keras_files", "save"),
    "save_huggingface": ("kzoo.models.huggingface", "save_huggingface"),
    "to_keras_hub": ("kzoo.models.keras_hub", "to_keras_hub"),
}

__all__ = [  # noqa: PLE0604 (the classes of the families are names too)
    "PRESETS",
    "BackboneWithHead",
    "Preset",
    "from_keras_hub",
    "list_models",
    "load",
    "load_tokenizer",
    "save",
    "save_huggingface",
    "to_keras_hub",
    *classes(),
]


def list_models() -> list[str]:
    """List the presets that `kzoo.load` knows.

    Returns:
        Their names.
    """
    return list(presets())


def __getattr__(name: str) -> Any:
    if name == "PRESETS":
        return presets()
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'kzoo.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
