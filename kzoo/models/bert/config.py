"""The sizes of a BERT encoder."""

import dataclasses
from typing import ClassVar

from kzoo.models.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class BertConfig(ModelConfig):
    """The sizes of a BERT encoder; the defaults are those of `bert_base`.

    Attributes:
        vocab_size: Number of token ids, `V`.
        num_layers: Number of transformer blocks.
        num_heads: Attention heads of a block, `N`.
        hidden_dim: Width of the model, `D`; a multiple of `num_heads`.
        mlp_dim: Width inside the feed-forward layers, `F`.
        max_length: Longest sequence that has a position embedding.
        num_segments: Number of segment ids.
        activation: Activation inside the feed-forward layers.
        dropout: Dropout rate of hidden states, during training.
        attention_dropout: Dropout rate of attention probabilities, during training.
        norm_epsilon: Added to the variance in every layer normalization.
        init_std: Standard deviation of the initial weights.
        pooler: Whether the model has the `pooled` output and its weights.
    """

    family: ClassVar[str] = "bert"

    vocab_size: int = 30522
    num_layers: int = 12
    num_heads: int = 12
    hidden_dim: int = 768
    mlp_dim: int = 3072
    max_length: int = 512
    num_segments: int = 2
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_epsilon: float = 1e-12
    init_std: float = 0.02
    pooler: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. "
                f"Received: hidden_dim={self.hidden_dim}, num_heads={self.num_heads}"
            )

    @property
    def num_parameters(self) -> int:
        """Number of weights, counted without building the model."""
        width, inner = self.hidden_dim, self.mlp_dim
        norm = 2 * width
        dense = width * width + width
        tables = self.vocab_size + self.max_length + self.num_segments
        feed_forward = width * inner + inner + inner * width + width
        block = 4 * dense + norm + feed_forward + norm
        return tables * width + norm + self.num_layers * block + self.pooler * dense
