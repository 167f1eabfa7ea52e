"""What is benchmarked: attention and blocks of several makers, with the same sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

Apply = Callable[..., Any]
WIDTH_OF_HEAD = 64
EXPANSION = 4  # feed-forward width over model width
EPSILON = 1e-5


@dataclass(frozen=True)
class Size:
    """Batch size, length and width."""

    batch_size: int
    length: int
    hidden_dim: int

    @property
    def num_heads(self) -> int:
        """Heads of the usual width."""
        return self.hidden_dim // WIDTH_OF_HEAD

    def __str__(self) -> str:
        return f"{self.batch_size} x {self.length} x {self.hidden_dim}"


SIZES = (Size(8, 128, 512), Size(2, 512, 768), Size(1, 2048, 512))


@dataclass(frozen=True)
class Subject:
    """A layer to time, and how it is called: `apply(hidden, mask, training)`.

    The mask is boolean (B, T), True at real positions, or `None`.
    """

    maker: str
    layer: Any
    apply: Apply


def kzoo_attention(size: Size) -> Subject:
    """kzoo's multi-head attention."""
    from kzoo.layers import MultiHeadAttention

    layer = MultiHeadAttention(num_heads=size.num_heads)
    return Subject("kzoo", layer, lambda x, mask, training: layer(x, mask=mask, training=training))


def keras_attention(size: Size) -> Subject:
    """Keras' multi-head attention."""
    layer = keras.layers.MultiHeadAttention(size.num_heads, WIDTH_OF_HEAD)

    def apply(x: Any, mask: Any, training: bool) -> Any:
        mask = None if mask is None else keras.ops.expand_dims(mask, 1)
        return layer(x, x, attention_mask=mask, training=training)

    return Subject("keras", layer, apply)


def torch_attention(size: Size) -> Subject:
    """PyTorch's multi-head attention."""
    import torch

    layer = torch.nn.MultiheadAttention(size.hidden_dim, size.num_heads, batch_first=True)

    def apply(x: Any, mask: Any, training: bool) -> Any:
        padding = None if mask is None else ~mask
        return layer.train(training)(x, x, x, key_padding_mask=padding, need_weights=False)[0]

    return Subject("torch", layer, apply)


def kzoo_block(size: Size) -> Subject:
    """kzoo's transformer block, post-norm."""
    from kzoo.layers import FeedForward, MultiHeadAttention, TransformerBlock

    layer = TransformerBlock(
        MultiHeadAttention(num_heads=size.num_heads, name="attention"),
        FeedForward(EXPANSION * size.hidden_dim, activation="relu", name="feed_forward"),
        norm_epsilon=EPSILON,
    )
    return Subject("kzoo", layer, lambda x, mask, training: layer(x, mask=mask, training=training))


def kerashub_block(size: Size) -> Subject:
    """KerasHub's transformer encoder layer."""
    import keras_hub

    layer = keras_hub.layers.TransformerEncoder(
        EXPANSION * size.hidden_dim, size.num_heads, layer_norm_epsilon=EPSILON
    )

    def apply(x: Any, mask: Any, training: bool) -> Any:
        return layer(x, padding_mask=mask, training=training)

    return Subject("kerashub", layer, apply)


def torch_block(size: Size) -> Subject:
    """PyTorch's transformer encoder layer."""
    import torch

    layer = torch.nn.TransformerEncoderLayer(
        size.hidden_dim,
        size.num_heads,
        EXPANSION * size.hidden_dim,
        dropout=0.0,
        layer_norm_eps=EPSILON,
        batch_first=True,
    )

    def apply(x: Any, mask: Any, training: bool) -> Any:
        padding = None if mask is None else ~mask
        return layer.train(training)(x, src_key_padding_mask=padding)

    return Subject("torch", layer, apply)


# The first of each list is ours; PyTorch's own layers only run on its backend.
MAKERS: dict[str, list[Callable[[Size], Subject]]] = {
    "attention": [kzoo_attention, keras_attention, torch_attention],
    "block": [kzoo_block, kerashub_block, torch_block],
}


def makers(kind: str) -> list[Callable[[Size], Subject]]:
    """List what runs on the active backend.

    Args:
        kind: `attention` or `block`.

    Returns:
        Functions that make the subjects, ours first.
    """
    return MAKERS[kind] if keras.config.backend() == "torch" else MAKERS[kind][:2]
