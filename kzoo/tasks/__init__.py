"""Heads on any backbone."""

from kzoo.tasks.embedding import SentenceEncoder

__all__ = ["SentenceEncoder"]
