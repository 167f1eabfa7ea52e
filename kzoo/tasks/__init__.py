"""Heads on any backbone."""

from kzoo.tasks.embedding import SentenceEncoder, UnitNorm

__all__ = ["SentenceEncoder", "UnitNorm"]
