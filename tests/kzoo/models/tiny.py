"""A BERT small enough for any test, with a tokenizer that spells every word letter by letter."""

import string
import tempfile
from pathlib import Path

import keras

from kzoo.data import Tokenizer
from kzoo.models import BertBackbone, BertConfig

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = (
    *SPECIAL,
    *string.ascii_lowercase,
    *string.digits,
    *(f"##{character}" for character in string.ascii_lowercase + string.digits),
)


def tiny_backbone(with_tokenizer: bool = False, seed: int = 0) -> BertBackbone:
    keras.utils.set_random_seed(seed)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        max_length=64,
        init_std=0.3,
    )
    backbone = BertBackbone(config)
    if with_tokenizer:
        backbone.tokenizer = tiny_tokenizer()
    return backbone


def tiny_tokenizer() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
        return Tokenizer.from_folder(folder)
