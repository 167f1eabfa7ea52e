"""Raw text to batches of NumPy arrays."""

from kzoo.data.sample import sample_texts
from kzoo.data.tokenizer import Tokenizer

__all__ = ["Tokenizer", "sample_texts"]
