"""BERT between Hugging Face's names and this library's.

A table of names is the whole conversion: a Hugging Face weight maps to the path of a variable, or
to `None` where it is dropped on purpose.
"""

from collections.abc import Mapping
from typing import Any

from kzoo.models.bert.config import BertConfig

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
_FIELDS = {
    "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "mlp_dim": "intermediate_size",
    "max_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "norm_epsilon": "layer_norm_eps",
    "init_std": "initializer_range",
}
# What the model computes only one way: any other value would silently change its outputs.
_FIXED: dict[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": {},
}

_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "embedding/tokens/table",
    "embeddings.position_embeddings.weight": "embedding/positions/table",
    "embeddings.token_type_embeddings.weight": "embedding/segment_table",
    "embeddings.LayerNorm.weight": "embedding/norm/gamma",
    "embeddings.LayerNorm.bias": "embedding/norm/beta",
}
_DENSE = {
    "attention.self.query": "attention/query",
    "attention.self.key": "attention/key",
    "attention.self.value": "attention/value",
    "attention.output.dense": "attention/out",
    "intermediate.dense": "feed_forward/intermediate",
    "output.dense": "feed_forward/out",
}
_NORMS = {
    "attention.output.LayerNorm": "attention_norm",
    "output.LayerNorm": "feed_forward_norm",
}
_POOLER = {
    "pooler.dense.weight": "pooler/dense/kernel",
    "pooler.dense.bias": "pooler/dense/bias",
}
_DROPPED = (
    # A buffer of 0, 1, 2, ... in older files.
    "embeddings.position_ids",
    # Heads: a backbone has none.
    "cls.predictions.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
    "classifier.weight",
    "classifier.bias",
    "qa_outputs.weight",
    "qa_outputs.bias",
)


def weight_table(config: BertConfig) -> dict[str, str | None]:
    """Map the weights of a Hugging Face BERT to the variables of a `BertBackbone`.

    Args:
        config: The sizes of the model.

    Returns:
        Variable path by Hugging Face name; `None` for what is dropped on purpose.
    """
    table: dict[str, str | None] = dict.fromkeys(_DROPPED)
    table.update(_EMBEDDINGS)
    for index in range(config.num_layers):
        theirs, ours = f"encoder.layer.{index}", f"block_{index}"
        for source, target in _DENSE.items():
            table[f"{theirs}.{source}.weight"] = f"{ours}/{target}/kernel"
            table[f"{theirs}.{source}.bias"] = f"{ours}/{target}/bias"
        for source, target in _NORMS.items():
            table[f"{theirs}.{source}.weight"] = f"{ours}/{target}/gamma"
            table[f"{theirs}.{source}.bias"] = f"{ours}/{target}/beta"
    table.update(_POOLER if config.pooler else dict.fromkeys(_POOLER))
    return table


def plain_name(name: str) -> str:
    """Reduce the spellings of one weight to one name.

    Models with a head prefix the encoder's weights with `bert.`, and files converted from the first
    TensorFlow checkpoints call the weights of layer normalization `gamma` and `beta`.

    Args:
        name: A weight's name in a file.

    Returns:
        The name that `weight_table` lists.
    """
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def read_config(source: Mapping[str, Any], names: set[str]) -> BertConfig:
    """Read a Hugging Face configuration.

    Args:
        source: The content of `config.json`.
        names: The plain names of the weights beside it; they tell whether there is a pooler.

    Returns:
        The configuration.

    Raises:
        ValueError: If the configuration asks for something that `BertBackbone` does not compute.
    """
    for field, expected in _FIXED.items():
        value = source.get(field, expected)
        if value != expected and value is not None:
            raise ValueError(
                f"`{field}` of a BERT configuration must be {expected!r}; nothing else is "
                f"implemented. Received: {field}={value!r}"
            )
    activation = source.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"`hidden_act` of a BERT configuration must be one of {', '.join(_ACTIVATIONS)}. "
            f"Received: hidden_act={activation!r}"
        )
    values = {ours: source[theirs] for ours, theirs in _FIELDS.items() if theirs in source}
    pooler = not names or set(_POOLER) <= names
    return BertConfig(activation=_ACTIVATIONS[activation], pooler=pooler, **values)


def write_config(config: BertConfig) -> dict[str, Any]:
    """Write a Hugging Face configuration.

    Args:
        config: The configuration.

    Returns:
        The content of `config.json`.
    """
    activation = next(key for key, value in _ACTIVATIONS.items() if value == config.activation)
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": activation,
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
        **{theirs: getattr(config, ours) for ours, theirs in _FIELDS.items()},
    }
