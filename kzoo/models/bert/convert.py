"""BERT between Hugging Face's names and this library's."""

from kzoo.models.bert.config import BertConfig
from kzoo.models.converter import Converter, dense, norm
from kzoo.weights import Entry

FIELDS = {
    "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "mlp_dim": "intermediate_size",
    "max_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "norm_epsilon": "layer_norm_eps",
    "init_std": "initializer_range",
}
FIXED = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": {},
}
_LAYER = "encoder.layer.{}"
BACKBONE: dict[str, Entry] = {
    "embeddings.word_embeddings.weight": "embedding/tokens/table",
    "embeddings.position_embeddings.weight": "embedding/positions/table",
    "embeddings.token_type_embeddings.weight": "embedding/segment_table",
    **norm("embeddings.LayerNorm", "embedding/norm"),
    **dense(f"{_LAYER}.attention.self.query", "block_{}/attention/query"),
    **dense(f"{_LAYER}.attention.self.key", "block_{}/attention/key"),
    **dense(f"{_LAYER}.attention.self.value", "block_{}/attention/value"),
    **dense(f"{_LAYER}.attention.output.dense", "block_{}/attention/out"),
    **norm(f"{_LAYER}.attention.output.LayerNorm", "block_{}/attention_norm"),
    **dense(f"{_LAYER}.intermediate.dense", "block_{}/feed_forward/intermediate"),
    **dense(f"{_LAYER}.output.dense", "block_{}/feed_forward/out"),
    **norm(f"{_LAYER}.output.LayerNorm", "block_{}/feed_forward_norm"),
    # A buffer of 0, 1, 2, ... in older files.
    "embeddings.position_ids": None,
}
POOLER = dense("pooler.dense", "pooler/dense")
# Files converted from the first TensorFlow checkpoints name the weights of norms in their way.
SPELLINGS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

CONVERTER = Converter(
    config_class=BertConfig,
    architectures={
        "backbone": "BertModel",
        "masked_lm": "BertForMaskedLM",
        "next_sentence": "BertForNextSentencePrediction",
        "pretraining": "BertForPreTraining",
        "classifier": "BertForSequenceClassification",
        "token_classifier": "BertForTokenClassification",
        "span": "BertForQuestionAnswering",
    },
    prefix="bert.",
    fields=FIELDS,
    fixed=FIXED,
    optional={"pooler": "pooler"},
    head_settings={
        "classifier": {"dropout": "classifier_dropout"},
        "token_classifier": {"dropout": "classifier_dropout"},
    },
    spellings=SPELLINGS,
    tables={
        "backbone": BACKBONE,
        "pooler": POOLER,
        "masked_lm": {
            **dense("cls.predictions.transform.dense", "masked_lm/dense"),
            **norm("cls.predictions.transform.LayerNorm", "masked_lm/norm"),
            "cls.predictions.bias": "masked_lm/bias",
            # The same tensors as the token table and the bias.
            "cls.predictions.decoder.weight": None,
            "cls.predictions.decoder.bias": None,
        },
        "next_sentence": dense("cls.seq_relationship", "next_sentence/dense"),
        "classifier": dense("classifier", "classifier/dense"),
        "token_classifier": dense("classifier", "token_classifier/dense"),
        "span": dense("qa_outputs", "span/dense"),
    },
    write_settings=lambda settings: {
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
        **settings,
    },
)
read_config = CONVERTER.read_config
