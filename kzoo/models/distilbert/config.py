"""The sizes of a DistilBERT encoder."""

import dataclasses
from typing import ClassVar

from kzoo.models.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class DistilBertConfig(EncoderConfig):
    """The sizes of a DistilBERT encoder; the defaults are those of `distilbert_base`."""

    family: ClassVar[str] = "distilbert"

    num_layers: int = 6
    num_segments: int = 0
    pooler: bool = False
