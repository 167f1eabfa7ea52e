"""The sizes of a Transformer language model."""

import dataclasses
from typing import ClassVar

from kzoo.models.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class TransformerLMConfig(ModelConfig):
    """The sizes of a Transformer language model; the defaults are those of PyTorch's tutorial.

    Attributes:
        vocab_size: Number of token ids, `V`. The default is that of WikiText-2's words.
        num_layers: Number of transformer blocks.
        num_heads: Attention heads of a block, `N`.
        hidden_dim: Width of the model, `D`; an even multiple of `num_heads`.
        mlp_dim: Width inside the feed-forward layers, `F`.
        activation: Activation inside the feed-forward layers.
        dropout: Dropout rate of hidden states, during training.
        attention_dropout: Dropout rate of attention probabilities, during training.
        norm_epsilon: Added to the variance in every layer normalization.
        init_range: Initial matrices are uniform between this and its negative.
    """

    family: ClassVar[str] = "transformer_lm"

    vocab_size: int = 28782
    num_layers: int = 2
    num_heads: int = 2
    hidden_dim: int = 200
    mlp_dim: int = 200
    activation: str = "relu"
    dropout: float = 0.2
    attention_dropout: float = 0.2
    norm_epsilon: float = 1e-5
    init_range: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_dim % self.num_heads or self.hidden_dim % 2:
            raise ValueError(
                "`hidden_dim` must be even and a multiple of `num_heads`. "
                f"Received: hidden_dim={self.hidden_dim}, num_heads={self.num_heads}"
            )

    @property
    def num_parameters(self) -> int:
        """Number of weights, counted without building the model."""
        width, inner = self.hidden_dim, self.mlp_dim
        norm = 2 * width
        dense = width * width + width
        feed_forward = width * inner + inner + inner * width + width
        block = 4 * dense + norm + feed_forward + norm
        decoder = width * self.vocab_size + self.vocab_size
        return self.vocab_size * width + self.num_layers * block + decoder
