"""Raw text to batches of NumPy arrays."""

from kzoo.data.dataset import pretraining_dataset
from kzoo.data.held_out import held_out_batches, unigram_accuracy
from kzoo.data.labeled import LabeledTexts, read_labeled, read_unlabeled
from kzoo.data.masking import MaskingVocabulary, mask_tokens
from kzoo.data.prepare import prepare
from kzoo.data.sample import sample_texts
from kzoo.data.splitting import make_parts
from kzoo.data.tokenizer import Tokenizer

__all__ = [
    "LabeledTexts",
    "MaskingVocabulary",
    "Tokenizer",
    "held_out_batches",
    "make_parts",
    "mask_tokens",
    "prepare",
    "pretraining_dataset",
    "read_labeled",
    "read_unlabeled",
    "sample_texts",
    "unigram_accuracy",
]
