"""The families of models: the one table that presets, loading, saving and the rest derive from.

A family is a folder of this package with four files: `config.py`, `model.py`, `presets.py` with
`PRESETS`, and `convert.py` with `CONVERTER`. They are imported on first use.
"""

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kzoo.models.preset import Preset


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: Its folder and, where Hugging Face has it, the `model_type` of its folders.
        config: The class of its configs.
        backbone: The class of its models.
    """

    name: str
    config: str
    backbone: str

    @property
    def config_class(self) -> Any:
        """The class of its configs."""
        return self._get("config", self.config)

    @property
    def backbone_class(self) -> Any:
        """The class of its models."""
        return self._get("model", self.backbone)

    @property
    def presets(self) -> Mapping[str, "Preset"]:
        """Its published models, by name."""
        presets: Mapping[str, Preset] = self._get("presets", "PRESETS")
        return presets

    @property
    def converter(self) -> Any:
        """Its `Converter` to the folders of Hugging Face, or `None` where they have no such one."""
        return self._get("convert", "CONVERTER")

    def _get(self, file: str, name: str) -> Any:
        return getattr(import_module(f"kzoo.models.{self.name}.{file}"), name)


_ROWS = (
    Family("bert", "BertConfig", "BertBackbone"),
    Family("distilbert", "DistilBertConfig", "DistilBertBackbone"),
    Family("roberta", "RobertaConfig", "RobertaBackbone"),
    Family("transformer_lm", "TransformerLMConfig", "TransformerLM"),
)
FAMILIES = {family.name: family for family in _ROWS}


def presets() -> dict[str, "Preset"]:
    """Collect the presets of all families.

    Returns:
        Preset by name.
    """
    return {name: each for family in FAMILIES.values() for name, each in family.presets.items()}


def converters() -> dict[str, Any]:
    """Collect the converters of the families that Hugging Face has.

    Returns:
        `Converter` by `model_type`.
    """
    found = ((name, family.converter) for name, family in FAMILIES.items())
    return {name: converter for name, converter in found if converter is not None}


def classes() -> dict[str, tuple[str, str]]:
    """Say where the classes of the families are.

    Returns:
        Module and name by the name of the class.
    """
    found = {}
    for family in FAMILIES.values():
        found[family.config] = f"kzoo.models.{family.name}.config", family.config
        found[family.backbone] = f"kzoo.models.{family.name}.model", family.backbone
    return found
