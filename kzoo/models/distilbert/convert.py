"""DistilBERT between Hugging Face's names and this library's."""

from kzoo.models.converter import Converter, dense, norm
from kzoo.models.distilbert.config import DistilBertConfig

_LAYER = "transformer.layer.{}"

CONVERTER = Converter(
    config_class=DistilBertConfig,
    architectures={
        "backbone": "DistilBertModel",
        "masked_lm": "DistilBertForMaskedLM",
        "classifier": "DistilBertForSequenceClassification",
        "token_classifier": "DistilBertForTokenClassification",
        "span": "DistilBertForQuestionAnswering",
    },
    prefix="distilbert.",
    fields={
        "vocab_size": "vocab_size",
        "num_layers": "n_layers",
        "num_heads": "n_heads",
        "hidden_dim": "dim",
        "mlp_dim": "hidden_dim",
        "max_length": "max_position_embeddings",
        "activation": "activation",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "init_std": "initializer_range",
    },
    tables={
        "backbone": {
            "embeddings.word_embeddings.weight": "embedding/tokens/table",
            "embeddings.position_embeddings.weight": "embedding/positions/table",
            **norm("embeddings.LayerNorm", "embedding/norm"),
            **dense(f"{_LAYER}.attention.q_lin", "block_{}/attention/query"),
            **dense(f"{_LAYER}.attention.k_lin", "block_{}/attention/key"),
            **dense(f"{_LAYER}.attention.v_lin", "block_{}/attention/value"),
            **dense(f"{_LAYER}.attention.out_lin", "block_{}/attention/out"),
            **norm(f"{_LAYER}.sa_layer_norm", "block_{}/attention_norm"),
            **dense(f"{_LAYER}.ffn.lin1", "block_{}/feed_forward/intermediate"),
            **dense(f"{_LAYER}.ffn.lin2", "block_{}/feed_forward/out"),
            **norm(f"{_LAYER}.output_layer_norm", "block_{}/feed_forward_norm"),
        },
        "masked_lm": {
            **dense("vocab_transform", "masked_lm/dense"),
            **norm("vocab_layer_norm", "masked_lm/norm"),
            "vocab_projector.bias": "masked_lm/bias",
            # The same tensor as the token table.
            "vocab_projector.weight": None,
        },
        "classifier": {
            **dense("pre_classifier", "classifier_pooler/dense"),
            **dense("classifier", "classifier/dense"),
        },
        "token_classifier": dense("classifier", "token_classifier/dense"),
        "span": dense("qa_outputs", "span/dense"),
    },
    head_settings={
        "classifier": {"pooler": "relu", "dropout": "seq_classif_dropout"},
        "span": {"dropout": "qa_dropout"},
    },
    write_settings=lambda settings: {"pad_token_id": 0, **settings},
)
