"""The sizes of a BERT encoder."""

import dataclasses
from typing import ClassVar

from kzoo.models.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class BertConfig(EncoderConfig):
    """The sizes of a BERT encoder; the defaults are those of `bert_base`."""

    family: ClassVar[str] = "bert"
