"""The sizes of a RoBERTa encoder."""

import dataclasses
from typing import ClassVar

from kzoo.models.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class RobertaConfig(EncoderConfig):
    """The sizes of a RoBERTa encoder; the defaults are those of `roberta_base`."""

    family: ClassVar[str] = "roberta"

    vocab_size: int = 50265
    norm_epsilon: float = 1e-5
    position_start: int = 2
    num_segments: int = 1
