"""Backbones from KerasHub, and back: the same weights in the other library's layers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kzoo.arguments import require_packages
from kzoo.models.families import FAMILIES
from kzoo.models.variables import arrays_by_path, variables_by_path

# KerasHub's arguments by field of the config.
_FIELDS = {
    "vocab_size": "vocabulary_size",
    "num_layers": "num_layers",
    "num_heads": "num_heads",
    "hidden_dim": "hidden_dim",
    "mlp_dim": "intermediate_dim",
    "max_length": "max_sequence_length",
    "dropout": "dropout",
}
# KerasHub's paths by path of a variable; `{}` stands for the number of a layer.
_BLOCK = {
    "block_{}/attention/query": "transformer_layer_{}/self_attention_layer/query",
    "block_{}/attention/key": "transformer_layer_{}/self_attention_layer/key",
    "block_{}/attention/value": "transformer_layer_{}/self_attention_layer/value",
    "block_{}/attention/out": "transformer_layer_{}/self_attention_layer/attention_output",
    "block_{}/attention_norm": "transformer_layer_{}/self_attention_layer_norm",
    "block_{}/feed_forward/intermediate": "transformer_layer_{}/feedforward_intermediate_dense",
    "block_{}/feed_forward/out": "transformer_layer_{}/feedforward_output_dense",
    "block_{}/feed_forward_norm": "transformer_layer_{}/feedforward_layer_norm",
}
_NORM = {"embedding/norm": "embeddings_layer_norm"}


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """KerasHub's backbone of a family.

    Attributes:
        name: Its class in `keras_hub.models`.
        prefixes: Its paths by prefix of ours.
        fixed: What its layers compute, by field of the config.
        fields: Its arguments by field of the config.
    """

    name: str
    prefixes: Mapping[str, str]
    fixed: Mapping[str, Any]
    fields: Mapping[str, str] = dataclasses.field(default_factory=lambda: _FIELDS)


_COUNTERPARTS = {
    "bert": Counterpart(
        "BertBackbone",
        {
            "embedding/tokens/table": "token_embedding/embeddings",
            "embedding/positions/table": "position_embedding/embeddings",
            "embedding/segment_table": "segment_embedding/embeddings",
            "pooler/dense": "pooled_dense",
            **_NORM,
            **_BLOCK,
        },
        {"activation": "gelu_tanh", "norm_epsilon": 1e-12, "pooler": True},
        {**_FIELDS, "num_segments": "num_segments"},
    ),
    "distilbert": Counterpart(
        "DistilBertBackbone",
        {
            "embedding/tokens/table": "token_and_position_embedding/token_embedding/embeddings",
            "embedding/positions/table": (
                "token_and_position_embedding/position_embedding/embeddings"
            ),
            **_NORM,
            **_BLOCK,
        },
        {"activation": "gelu", "norm_epsilon": 1e-12, "pooler": False, "num_segments": 0},
    ),
    "roberta": Counterpart(
        "RobertaBackbone",
        {
            "embedding/tokens/table": "embeddings/token_embedding/embeddings",
            "embedding/positions/table": "embeddings/position_embedding/embeddings",
            **_NORM,
            **_BLOCK,
        },
        {"activation": "gelu", "norm_epsilon": 1e-5, "pooler": False, "num_segments": 1},
    ),
}
_POSITIONS, _SEGMENTS = "embedding/positions/table", "embedding/segment_table"


def from_keras_hub(backbone: keras.Model, name: str | None = None) -> keras.Model:
    """Make a model of this library with the weights of one of KerasHub.

    It computes what KerasHub's does, the tanh form of GELU in BERT included. The tokenizer is not
    part of a backbone there: set `model.tokenizer`.

    Args:
        backbone: A BERT, DistilBERT or RoBERTa backbone of KerasHub.
        name: Name of the model; by default that of the backbone.

    Returns:
        The backbone here, with a copy of the weights.

    Raises:
        ValueError: If it is another model.

    Example:
        >>> from keras_hub.models import BertBackbone  # doctest: +SKIP
        >>> hub = BertBackbone.from_preset("bert_tiny_en_uncased")  # doctest: +SKIP
        >>> model = kzoo.from_keras_hub(hub)  # doctest: +SKIP
    """
    classes = {each.name: family for family, each in _COUNTERPARTS.items()}
    family = classes.get(type(backbone).__name__)
    if family is None or not type(backbone).__module__.startswith("keras_hub."):
        kind = f"{type(backbone).__module__}.{type(backbone).__name__}"
        raise ValueError(
            f"`backbone` must be a {', '.join(classes)} of KerasHub. Received: backbone of {kind}"
        )
    hub: Any = backbone
    theirs = _COUNTERPARTS[family]
    sizes = {ours: getattr(hub, argument) for ours, argument in theirs.fields.items()}
    config = FAMILIES[family].config_class(**sizes, attention_dropout=hub.dropout, **theirs.fixed)
    model = FAMILIES[family].backbone_class(config, hub.dtype_policy, name or backbone.name)
    arrays = arrays_by_path(backbone)
    for path, variable in variables_by_path(model).items():
        source = _path(theirs, path)
        if source is None:  # RoBERTa's one segment, which KerasHub leaves out
            variable.assign(np.zeros(variable.shape, "float32"))
            continue
        array = arrays[source].reshape(-1, *variable.shape[1:])
        if path == _POSITIONS:  # rows that are never looked up
            array = np.pad(array, ((config.position_start, 0), (0, 0)))
        variable.assign(array.reshape(variable.shape))
    return model


def to_keras_hub(model: keras.Model) -> keras.Model:
    """Make a model of KerasHub with the weights of one of this library.

    Args:
        model: A BERT, DistilBERT or RoBERTa backbone.

    Returns:
        KerasHub's backbone, with a copy of the weights and without a tokenizer.

    Raises:
        ImportError: If KerasHub is not installed.
        ValueError: If KerasHub's model computes something else: another activation, for example.

    Example:
        >>> import kzoo
        >>> model = kzoo.load("distilbert_base", weights="random")  # doctest: +SKIP
        >>> hub = kzoo.to_keras_hub(model)  # doctest: +SKIP
    """
    config: Any = getattr(model, "config", None)
    theirs = _COUNTERPARTS.get(getattr(config, "family", ""))
    if theirs is None or not isinstance(model, FAMILIES[config.family].backbone_class):
        raise ValueError(
            f"`model` must be a backbone of {', '.join(_COUNTERPARTS)}. Received: model of type "
            f"{type(model).__name__}"
        )
    for field, value in {**theirs.fixed, "attention_dropout": config.dropout}.items():
        if getattr(config, field) != value:
            raise ValueError(
                f"`{field}` must be {value!r}: KerasHub's {theirs.name} computes nothing else. "
                f"Received: {field}={getattr(config, field)!r}"
            )
    require_packages(["keras_hub"], "keras-hub", "KerasHub's models")
    import keras_hub

    sizes = {argument: getattr(config, ours) for ours, argument in theirs.fields.items()}
    policy = keras.dtype_policies.get(model.dtype_policy)
    hub = getattr(keras_hub.models, theirs.name)(**sizes, dtype=policy, name=model.name)
    arrays = arrays_by_path(model)
    arrays[_POSITIONS] = arrays[_POSITIONS][config.position_start :]
    if config.num_segments == 1:
        arrays[_POSITIONS] = arrays[_POSITIONS] + arrays[_SEGMENTS]
    variables = variables_by_path(hub)
    for path, array in arrays.items():
        target = _path(theirs, path)
        if target is not None:
            variables[target].assign(array.reshape(variables[target].shape))
    return hub


def _path(theirs: Counterpart, path: str) -> str | None:
    """Translate the path of a variable, or return `None` where KerasHub has no such one."""
    first, _, rest = path.partition("/")
    number = first.removeprefix("block_")
    if number != first:
        path = f"block_{{}}/{rest}"
    for ours, other in theirs.prefixes.items():
        if path == ours or path.startswith(f"{ours}/"):
            return (other + path.removeprefix(ours)).format(number)
    return None
