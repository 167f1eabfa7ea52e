"""The Transformer language model between PyTorch's names and this library's.

The names are those of PyTorch's tutorial: `embedding`, a `torch.nn.TransformerEncoder` called
`transformer_encoder`, and `linear`. PyTorch keeps the projections of query, key and value in one
tensor.
"""

from kzoo.models.converter import dense, norm
from kzoo.weights import Entry, Split

_LAYER = "transformer_encoder.layers.{}"
_PROJECTIONS = ("query", "key", "value")
TABLE: dict[str, Entry] = {
    # Sines and cosines, which are computed.
    "pos_encoder.pe": None,
    "embedding.weight": "embedding/table",
    **dense("linear", "decoder"),
    f"{_LAYER}.self_attn.in_proj_weight": Split(
        tuple(f"block_{{}}/attention/{name}/kernel" for name in _PROJECTIONS)
    ),
    f"{_LAYER}.self_attn.in_proj_bias": Split(
        tuple(f"block_{{}}/attention/{name}/bias" for name in _PROJECTIONS)
    ),
    **dense(f"{_LAYER}.self_attn.out_proj", "block_{}/attention/out"),
    **dense(f"{_LAYER}.linear1", "block_{}/feed_forward/intermediate"),
    **dense(f"{_LAYER}.linear2", "block_{}/feed_forward/out"),
    **norm(f"{_LAYER}.norm1", "block_{}/attention_norm"),
    **norm(f"{_LAYER}.norm2", "block_{}/feed_forward_norm"),
}

# Hugging Face has no such family.
CONVERTER = None
