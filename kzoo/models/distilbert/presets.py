"""The published DistilBERT models."""

from kzoo.models.bert.presets import MINILM
from kzoo.models.distilbert.config import DistilBertConfig
from kzoo.models.preset import Preset

PRESETS: dict[str, Preset] = {
    "distilbert_base": Preset(
        DistilBertConfig(),
        "distilbert/distilbert-base-uncased",
        "Apache-2.0",
        66_362_880,
        "English, uncased",
        # The vocabulary of the uncased BERT models, on which MiniLM was trained too.
        vocabulary=MINILM,
    ),
    "distilbert_base_cased": Preset(
        DistilBertConfig(vocab_size=28996),
        "distilbert/distilbert-base-cased",
        "Apache-2.0",
        65_190_912,
        "English, cased",
    ),
    "distilbert_multilingual": Preset(
        DistilBertConfig(vocab_size=119547),
        "distilbert/distilbert-base-multilingual-cased",
        "Apache-2.0",
        134_734_080,
        "104 languages, cased",
    ),
}
