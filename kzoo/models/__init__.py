"""The models: their presets, and loading and saving.

Attributes are imported on first use, so that the presets can be read without a backend.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kzoo.models.bert.config import BertConfig
from kzoo.models.bert.presets import PRESETS as BERT
from kzoo.models.preset import Preset
from kzoo.models.transformer_lm.config import TransformerLMConfig
from kzoo.models.transformer_lm.presets import PRESETS as TRANSFORMER_LM

if TYPE_CHECKING:
    from kzoo.models.bert.model import BertBackbone
    from kzoo.models.loading import load, load_tokenizer, save, save_huggingface
    from kzoo.models.transformer_lm.model import TransformerLM

PRESETS: dict[str, Preset] = {**BERT, **TRANSFORMER_LM}

_LAZY = {
    "BertBackbone": "kzoo.models.bert.model",
    "TransformerLM": "kzoo.models.transformer_lm.model",
    "load": "kzoo.models.loading",
    "load_tokenizer": "kzoo.models.loading",
    "save": "kzoo.models.loading",
    "save_huggingface": "kzoo.models.loading",
}

__all__ = [
    "PRESETS",
    "BertBackbone",
    "BertConfig",
    "Preset",
    "TransformerLM",
    "TransformerLMConfig",
    "list_models",
    "load",
    "load_tokenizer",
    "save",
    "save_huggingface",
]


def list_models() -> list[str]:
    """List the presets that `kzoo.load` knows.

    Returns:
        Their names.
    """
    return list(PRESETS)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kzoo.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
