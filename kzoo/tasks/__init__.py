"""Heads on any backbone."""

from kzoo.tasks.embedding import SentenceEncoder, UnitNorm
from kzoo.tasks.losses import TokenCrossentropy
from kzoo.tasks.pretraining import Pretraining

__all__ = ["Pretraining", "SentenceEncoder", "TokenCrossentropy", "UnitNorm"]
