"""The encoder of BERT and its relatives: embeddings, post-norm blocks and, by config, a pooler."""

from typing import Any

import keras

from kzoo import layers
from kzoo.layers.heads.masked_lm import gather_positions
from kzoo.layers.types import Tensor
from kzoo.models.backbone import Graph
from kzoo.models.config import EncoderConfig

OUTPUT_KINDS = {"hidden": "hidden_states", "pooled": "embedding"}


def post_norm_blocks(
    config: Any, dtype: str | keras.DTypePolicy | None, **options: Any
) -> list[layers.TransformerBlock]:
    """Make the transformer blocks of a model: `block_0`, `block_1` and so on.

    Args:
        config: A `TransformerConfig`.
        dtype: Dtype policy of the layers.
        **options: Arguments of each attention and feed-forward layer, by `attention` and
            `feed_forward`.

    Returns:
        The blocks.
    """
    return [
        layers.TransformerBlock(
            attention=layers.MultiHeadAttention(
                num_heads=config.num_heads,
                dropout=config.attention_dropout,
                dtype=dtype,
                name="attention",
                **options.get("attention", {}),
            ),
            feed_forward=layers.FeedForward(
                mlp_dim=config.mlp_dim,
                activation=config.activation,
                dtype=dtype,
                name="feed_forward",
                **options.get("feed_forward", {}),
            ),
            norm_epsilon=config.norm_epsilon,
            dropout=config.dropout,
            dtype=dtype,
            name=f"block_{index}",
        )
        for index in range(config.num_layers)
    ]


def encoder_graph(config: EncoderConfig, dtype: str | keras.DTypePolicy | None) -> Graph:
    """Connect the layers of an encoder.

    Args:
        config: The sizes of the model.
        dtype: Dtype policy of the layers.

    Returns:
        The inputs `token_ids`, `segment_ids` where there are several segments, and `padding_mask`,
        int32 (B, T) each; the outputs `hidden` (B, T, D) and, where `config.pooler`, `pooled`
        (B, D).
    """
    embedding = layers.BertEmbedding(
        vocab_size=config.vocab_size,
        hidden_dim=config.hidden_dim,
        max_length=config.max_length,
        num_segments=config.num_segments,
        dropout=config.dropout,
        norm_epsilon=config.norm_epsilon,
        init_std=config.init_std,
        position_start=config.position_start,
        dtype=dtype,
        name="embedding",
    )
    init = {"init_std": config.init_std}
    blocks = post_norm_blocks(config, dtype, attention=init, feed_forward=init)

    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in config.input_names}
    hidden = embedding(inputs["token_ids"], segment_ids=inputs.get("segment_ids"))
    for block in blocks:
        hidden = block(hidden, mask=inputs["padding_mask"])
    outputs = {"hidden": hidden}
    if config.pooler:
        pooler = layers.Pooler(init_std=config.init_std, dtype=dtype, name="pooler")
        outputs["pooled"] = pooler(hidden)
    return inputs, outputs


class BlockAtPositions(keras.layers.Layer):
    """A post-norm block that returns some positions, and computes no others.

    Only queries differ from position to position: keys and values are those of all.

    Args:
        block: The `TransformerBlock`, with weights or without; its attention compares no positions.
        name: Name of the layer.
    """

    def __init__(self, block: layers.TransformerBlock, name: str | None = None) -> None:
        super().__init__(name=name, dtype=block.dtype_policy)
        self.block = block

    def call(
        self, hidden: Tensor, positions: Tensor, padding_mask: Tensor, training: bool = False
    ) -> Tensor:
        """Return the block's output at positions (B, P), (B, P, D), of hidden states (B, T, D)."""
        attention = {"context": hidden, "mask": padding_mask}
        options: dict[str, dict[str, Any]] = {"attention": attention, "feed_forward": {}}
        return self.block.transform(gather_positions(hidden, positions), options, training)

    def compute_output_shape(
        self, hidden_shape: Any, positions_shape: Any, padding_mask_shape: Any
    ) -> tuple[Any, ...]:
        """Return (B, P, D)."""
        return (*positions_shape, hidden_shape[-1])


def hidden_at(backbone: Any, positions: Any) -> Any:
    """Connect the hidden states of some positions to an encoder, for less than those of all.

    Where most positions are not asked for, most of the last block is not computed. The numbers are
    those of the output `hidden`.

    Args:
        backbone: An encoder, whose layers are shared.
        positions: Symbolic integers (B, P).

    Returns:
        Symbolic hidden states (B, P, D).
    """
    last = backbone.config.num_layers - 1
    before = backbone.get_layer(f"block_{last - 1}" if last else "embedding").output
    at_positions = BlockAtPositions(backbone.get_layer(f"block_{last}"), name="last_block")
    return at_positions(before, positions, backbone.input["padding_mask"])
