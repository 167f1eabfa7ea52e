"""RoBERTa between Hugging Face's names and this library's: BERT's, but for the heads."""

from collections.abc import Mapping
from typing import Any

from kzoo.models.bert.convert import BACKBONE, FIELDS, FIXED, POOLER, SPELLINGS
from kzoo.models.converter import Converter, dense, norm
from kzoo.models.roberta.config import RobertaConfig


def _read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Take the rows before the first position out of the longest sequence."""
    start = settings["pad_token_id"] + 1
    longest = settings["max_position_embeddings"] - start
    return {**settings, "position_start": start, "max_position_embeddings": longest}


def _write_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add the settings that follow from the row of the first position."""
    rest = dict(settings)
    start = rest.pop("position_start")
    rest["max_position_embeddings"] += start
    return {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": start - 1, **rest}


CONVERTER = Converter(
    config_class=RobertaConfig,
    architectures={
        "backbone": "RobertaModel",
        "masked_lm": "RobertaForMaskedLM",
        "classifier": "RobertaForSequenceClassification",
        "token_classifier": "RobertaForTokenClassification",
        "span": "RobertaForQuestionAnswering",
    },
    prefix="roberta.",
    fields={**FIELDS, "position_start": "position_start"},
    defaults={
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 1,
    },
    fixed=FIXED,
    optional={"pooler": "pooler"},
    head_settings={
        "masked_lm": {"activation": "gelu"},
        "classifier": {"pooler": "tanh", "dropout": "classifier_dropout"},
        "token_classifier": {"dropout": "classifier_dropout"},
    },
    spellings=SPELLINGS,
    tables={
        "backbone": BACKBONE,
        "pooler": POOLER,
        "masked_lm": {
            **dense("lm_head.dense", "masked_lm/dense"),
            **norm("lm_head.layer_norm", "masked_lm/norm"),
            "lm_head.bias": "masked_lm/bias",
            # The same tensors as the token table and the bias.
            "lm_head.decoder.weight": None,
            "lm_head.decoder.bias": None,
        },
        "classifier": {
            **dense("classifier.dense", "classifier_pooler/dense"),
            **dense("classifier.out_proj", "classifier/dense"),
        },
        "token_classifier": dense("classifier", "token_classifier/dense"),
        "span": dense("qa_outputs", "span/dense"),
    },
    read_settings=_read_settings,
    write_settings=_write_settings,
)
