"""The transformer block."""

from typing import Any

import keras

from kzoo.layers.arguments import check_positive_numbers, check_rates
from kzoo.layers.attention.multi_head import MultiHeadAttention
from kzoo.layers.feed_forward import FeedForward
from kzoo.layers.normalization import LayerNorm
from kzoo.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable("kzoo")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and a feed-forward network, each with a residual and a normalisation.

    `norm_first=False`, as in BERT: x = norm(x + f(x)). `norm_first=True`, as in GPT-2:
    x = x + f(norm(x)). Sub-layers: `attention`, `attention_norm`, `feed_forward` and
    `feed_forward_norm`.

    Args:
        num_heads: Number of attention heads, N; divides the width of the hidden states.
        mlp_dim: Width of the feed-forward network, F.
        activation: Of the feed-forward network; see `FeedForward`.
        dropout: Dropout rate of what is added to each residual.
        attention_dropout: Dropout rate of the attention weights.
        norm_epsilon: Added to the variance in the normalisations.
        norm_first: Whether to normalise the input of each sub-layer instead of the sum.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        mask: Boolean or integer, True for positions that may be attended to: (B, T) or (B, T, T).
        training: Whether dropout is active.

    Call returns:
        (B, T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import TransformerBlock
        >>> block = TransformerBlock(num_heads=2, mlp_dim=16)
        >>> tuple(block(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.1.
        https://arxiv.org/abs/1706.03762
        Xiong et al., On Layer Normalization in the Transformer Architecture, 2020, table 1.
        https://arxiv.org/abs/2002.04745
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        norm_epsilon: float = 1e-12,
        norm_first: bool = False,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rates(dropout=dropout, attention_dropout=attention_dropout)
        check_positive_numbers(norm_epsilon=norm_epsilon)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.norm_epsilon = norm_epsilon
        self.norm_first = norm_first
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        policy = {"dtype": self.dtype_policy}
        self.attention = MultiHeadAttention(
            num_heads, dropout=attention_dropout, init_std=init_std, name="attention", **policy
        )
        self.attention_norm = LayerNorm(norm_epsilon, name="attention_norm", **policy)
        self.feed_forward = FeedForward(
            mlp_dim, activation, dropout, init_std, name="feed_forward", **policy
        )
        self.feed_forward_norm = LayerNorm(norm_epsilon, name="feed_forward_norm", **policy)
        self.hidden_dropout = keras.layers.Dropout(dropout, **policy)

    def build(self, hidden_shape: Shape) -> None:
        """Create the weights of the four sub-layers."""
        self.attention.build(hidden_shape)
        self.attention_norm.build(hidden_shape)
        self.feed_forward.build(hidden_shape)
        self.feed_forward_norm.build(hidden_shape)

    def call(self, hidden: Tensor, mask: Tensor | None = None, training: bool = False) -> Tensor:
        """Transform; see the class."""
        if self.norm_first:
            hidden = hidden + self._attend(self.attention_norm(hidden), mask, training)
            normed = self.feed_forward_norm(hidden)
            return hidden + self.feed_forward(normed, training=training)
        hidden = self.attention_norm(hidden + self._attend(hidden, mask, training))
        return self.feed_forward_norm(hidden + self.feed_forward(hidden, training=training))

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return the shape of the hidden states."""
        return hidden_shape

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> None:
        """Attach no mask to the result: masks are passed, never implied."""

    def _attend(self, hidden: Tensor, mask: Tensor | None, training: bool) -> Tensor:
        """Attention with dropout on its result."""
        attended = self.attention(hidden, mask=mask, training=training)
        return self.hidden_dropout(attended, training=training)
