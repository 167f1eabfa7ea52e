"""The BERT encoder."""

from typing import ClassVar

import keras

from kzoo import layers
from kzoo.models.backbone import Backbone
from kzoo.models.bert.config import BertConfig


@keras.saving.register_keras_serializable("kzoo")
class BertBackbone(Backbone, keras.Model):
    """BERT without a head: embeddings, post-norm transformer blocks and, by config, a pooler.

    The inputs are int32 (B, T): `token_ids`, `segment_ids`, and `padding_mask` with 1 at real
    tokens and 0 at padding. The outputs are `hidden` (B, T, D) and, where `config.pooler`, `pooled`
    (B, D).

    Args:
        config: The sizes of the model.
        dtype: Dtype policy of the layers; by default the global one.
        name: Name of the model.

    Example:
        >>> import numpy as np
        >>> from kzoo.models import BertBackbone, BertConfig
        >>> config = BertConfig(vocab_size=100, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
        >>> ids = np.ones((2, 5), "int32")
        >>> inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids}
        >>> tuple(BertBackbone(config)(inputs)["hidden"].shape)
        (2, 5, 8)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, https://arxiv.org/abs/1810.04805, section 3.
    """

    config_class = BertConfig
    output_kinds: ClassVar = {"hidden": "hidden_states", "pooled": "embedding"}

    def __init__(
        self,
        config: BertConfig,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
    ) -> None:
        # Layers
        embedding = layers.BertEmbedding(
            vocab_size=config.vocab_size,
            hidden_dim=config.hidden_dim,
            max_length=config.max_length,
            num_segments=config.num_segments,
            dropout=config.dropout,
            norm_epsilon=config.norm_epsilon,
            init_std=config.init_std,
            dtype=dtype,
            name="embedding",
        )
        blocks = [
            layers.TransformerBlock(
                attention=layers.MultiHeadAttention(
                    num_heads=config.num_heads,
                    dropout=config.attention_dropout,
                    init_std=config.init_std,
                    dtype=dtype,
                    name="attention",
                ),
                feed_forward=layers.FeedForward(
                    mlp_dim=config.mlp_dim,
                    activation=config.activation,
                    init_std=config.init_std,
                    dtype=dtype,
                    name="feed_forward",
                ),
                norm_epsilon=config.norm_epsilon,
                dropout=config.dropout,
                dtype=dtype,
                name=f"block_{index}",
            )
            for index in range(config.num_layers)
        ]

        # Graph
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "segment_ids", "padding_mask")
        }
        hidden = embedding(inputs["token_ids"], segment_ids=inputs["segment_ids"])
        for block in blocks:
            hidden = block(hidden, mask=inputs["padding_mask"])
        outputs = {"hidden": hidden}
        if config.pooler:
            pooler = layers.Pooler(init_std=config.init_std, dtype=dtype, name="pooler")
            outputs["pooled"] = pooler(hidden)
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # Config
        self.config = config
        self.dtype_policy = keras.dtype_policies.get(dtype)
