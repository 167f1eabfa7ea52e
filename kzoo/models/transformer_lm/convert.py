"""The Transformer language model between PyTorch's names and this library's.

The names are those of PyTorch's tutorial: `embedding`, a `torch.nn.TransformerEncoder` called
`transformer_encoder`, and `linear`. PyTorch keeps the projections of query, key and value in one
tensor, which `split_projections` takes apart first.
"""

from collections.abc import Mapping

import numpy as np

from kzoo.models.transformer_lm.config import TransformerLMConfig

_PARTS = ("query", "key", "value")
_DENSE = {
    **{f"self_attn.{part}": f"attention/{part}" for part in _PARTS},
    "self_attn.out_proj": "attention/out",
    "linear1": "feed_forward/intermediate",
    "linear2": "feed_forward/out",
}
_NORMS = {"norm1": "attention_norm", "norm2": "feed_forward_norm"}


def weight_table(config: TransformerLMConfig) -> dict[str, str | None]:
    """Map the weights of PyTorch's model to the variables of a `TransformerLM`.

    Args:
        config: The sizes of the model.

    Returns:
        Variable path by name after `split_projections`; `None` for what is dropped on purpose.
    """
    table: dict[str, str | None] = {
        "pos_encoder.pe": None,  # sines and cosines, which are computed
        "embedding.weight": "embedding/table",
        "linear.weight": "decoder/kernel",
        "linear.bias": "decoder/bias",
    }
    for index in range(config.num_layers):
        theirs, ours = f"transformer_encoder.layers.{index}", f"block_{index}"
        for source, target in _DENSE.items():
            table[f"{theirs}.{source}.weight"] = f"{ours}/{target}/kernel"
            table[f"{theirs}.{source}.bias"] = f"{ours}/{target}/bias"
        for source, target in _NORMS.items():
            table[f"{theirs}.{source}.weight"] = f"{ours}/{target}/gamma"
            table[f"{theirs}.{source}.bias"] = f"{ours}/{target}/beta"
    return table


def split_projections(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Take the joint projections of query, key and value apart.

    Args:
        tensors: Arrays by PyTorch's names.

    Returns:
        Arrays by the names of `weight_table`.
    """
    result = {}
    for name, tensor in tensors.items():
        prefix, joint, kind = name.partition("in_proj_")
        if joint:
            thirds = np.split(tensor, 3)
            result.update({f"{prefix}{p}.{kind}": t for p, t in zip(_PARTS, thirds, strict=True)})
        else:
            result[name] = tensor
    return result
