"""Small classifiers of every family that `TextClassifier` takes, each with its tokenizer."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tokenizers

import kzoo
from kzoo.data import Tokenizer
from kzoo.models.families import FAMILIES
from kzoo.tasks import TextClassifier
from tests.kzoo.models.families import small_config
from tests.kzoo.models.tiny import VOCABULARY, tiny_tokenizer
from tests.kzoo.tasks.letters import letters

SIZES = {"num_heads": 2, "hidden_dim": 16, "mlp_dim": 32, "max_length": 40}
LABELS = ("a", "b", "c")


def family_classifier(name: str, epochs: int = 8) -> TextClassifier:
    """Make a classifier of a backbone, and train it on texts whose label is their first letter."""
    keras.utils.set_random_seed(0)
    backbone = BACKBONES[name]()
    model = TextClassifier(backbone, LABELS, length=32, dropout=0.0)
    model.fit(*letters(120), epochs=epochs, batch_size=8, learning_rate=5e-3, verbose=0)
    return model


def _backbone(family: str, tokenizer: Tokenizer) -> Any:
    found = FAMILIES[family]
    config = small_config(found, vocab_size=tokenizer.vocab_size, init_std=0.3, **SIZES)
    backbone = found.backbone_class(config)
    backbone.tokenizer = tokenizer.for_inputs(list(backbone.input))
    return backbone


def _keras_hub() -> Any:
    """A BERT of KerasHub, made one of this library."""
    from keras_hub.models import BertBackbone

    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    theirs = BertBackbone(len(VOCABULARY), **sizes, max_sequence_length=40)
    backbone = kzoo.from_keras_hub(theirs)
    backbone.tokenizer = tiny_tokenizer()
    return backbone


def _byte_pairs() -> Tokenizer:
    """RoBERTa's kind of tokenizer, with its special tokens at their ids."""
    trained = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(letters(96)[0], vocab_size=261, special_tokens=special)
    with tempfile.TemporaryDirectory() as folder:
        trained.save_model(folder)
        return Tokenizer.from_folder(Path(folder))


BACKBONES: dict[str, Callable[[], Any]] = {
    "bert": lambda: _backbone("bert", tiny_tokenizer()),
    "distilbert": lambda: _backbone("distilbert", tiny_tokenizer()),
    "roberta": lambda: _backbone("roberta", _byte_pairs()),
    "keras_hub": _keras_hub,
}
