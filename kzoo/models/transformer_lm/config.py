"""The sizes of a Transformer language model."""

import dataclasses
from typing import ClassVar

from kzoo.models.config import TransformerConfig


@dataclasses.dataclass(frozen=True)
class TransformerLMConfig(TransformerConfig):
    """The sizes of a Transformer language model; the defaults are those of PyTorch's tutorial.

    The vocabulary is that of WikiText-2's words; `hidden_dim` must be even.

    Attributes:
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
        if self.hidden_dim % 2:
            raise ValueError(f"`hidden_dim` must be even. Received: hidden_dim={self.hidden_dim}")

    @property
    def num_parameters(self) -> int:
        """Number of weights, counted without building the model."""
        decoder = self.hidden_dim * self.vocab_size + self.vocab_size
        return self.vocab_size * self.hidden_dim + self.block_parameters + decoder
