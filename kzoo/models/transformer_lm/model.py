"""The Transformer language model."""

from typing import ClassVar

import keras

from kzoo import layers
from kzoo.models.backbone import Backbone, Graph
from kzoo.models.encoder import post_norm_blocks
from kzoo.models.transformer_lm.config import TransformerLMConfig


@keras.saving.register_keras_serializable("kzoo")
class TransformerLM(Backbone, keras.Model):
    """The classic language model: an encoder whose attention never looks ahead.

    Token vectors times sqrt(D), plus sines and cosines, pass through post-norm blocks with a causal
    mask to a linear decoder. The input `token_ids` is int32 (B, T). The outputs are `hidden`
    (B, T, D) and `logits` (B, T, V): at each position, the scores of the token that follows. What
    pads the end of a sequence changes nothing before it.

    Args:
        config: The sizes of the model.
        dtype: Dtype policy of the layers; by default the global one.
        name: Name of the model.

    Example:
        >>> import numpy as np
        >>> from kzoo.models import TransformerLM, TransformerLMConfig
        >>> config = TransformerLMConfig(vocab_size=100, hidden_dim=8, mlp_dim=16)
        >>> model = TransformerLM(config)
        >>> tuple(model({"token_ids": np.ones((2, 5), "int32")})["logits"].shape)
        (2, 5, 100)

    References:
        Vaswani et al., Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.
        PyTorch tutorials, Language Modeling with `nn.Transformer` and torchtext.
    """

    config_class = TransformerLMConfig
    output_kinds: ClassVar = {"hidden": "hidden_states", "logits": "token_logits"}

    def __init__(
        self,
        config: TransformerLMConfig | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(config, dtype, name)
        limit = self.config.init_range
        for weight in self.weights:
            if len(weight.shape) == 2:
                weight.assign(keras.random.uniform(weight.shape, -limit, limit))

    @staticmethod
    def graph(config: TransformerLMConfig, dtype: str | keras.DTypePolicy | None) -> Graph:
        """Make the layers, and connect them; see the class."""
        embedding = layers.TokenEmbedding(
            vocab_size=config.vocab_size,
            hidden_dim=config.hidden_dim,
            scale=config.hidden_dim**0.5,
            dtype=dtype,
            name="embedding",
        )
        positions = layers.SinusoidalPositions(dtype=dtype, name="positions")
        dropout = keras.layers.Dropout(config.dropout, dtype=dtype, name="dropout")
        blocks = post_norm_blocks(
            config, dtype, attention={"causal": True}, feed_forward={"dropout": config.dropout}
        )
        decoder = keras.layers.Dense(config.vocab_size, dtype=dtype, name="decoder")

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        hidden = embedding(token_ids)
        hidden = dropout(hidden + positions(hidden))
        for block in blocks:
            hidden = block(hidden)
        return {"token_ids": token_ids}, {"hidden": hidden, "logits": decoder(hidden)}
