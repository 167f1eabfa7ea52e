"""What the configurations of models have in common."""

import dataclasses
from functools import partial
from typing import Any, ClassVar, cast

from kzoo.arguments import (
    check_counts,
    check_positive_integers,
    check_positive_numbers,
    check_rates,
    check_types,
)

_RATES = ("dropout", "attention_dropout")
_COUNTS = ("num_segments", "position_start")
_CHECKS: dict[type, Any] = {
    int: check_positive_integers,
    float: check_positive_numbers,
    bool: partial(check_types, bool),
    str: partial(check_types, str),
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The sizes of a model: integers are at least 1, rates in [0, 1), other numbers above 0.

    Fields are of Python's types, whatever they were given as, so that they can be written as JSON.

    Attributes:
        family: The family's name, as in `model_type` of a Hugging Face folder.
    """

    family: ClassVar[str]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), cast("type", field.type)
            check = _CHECKS[kind]
            if field.name in _RATES:
                check = check_rates
            elif field.name in _COUNTS:
                check = check_counts
            check(**{field.name: value})
            object.__setattr__(self, field.name, kind(value))

    @property
    def num_parameters(self) -> int:
        """Number of weights, counted without building the model."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values.

        Returns:
            Value by field name.
        """
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """The sizes of a stack of transformer blocks; the defaults are those of BERT-Base.

    Attributes:
        vocab_size: Number of token ids, `V`.
        num_layers: Number of transformer blocks.
        num_heads: Attention heads of a block, `N`.
        hidden_dim: Width of the model, `D`; a multiple of `num_heads`.
        mlp_dim: Width inside the feed-forward layers, `F`.
        activation: Activation inside the feed-forward layers.
        dropout: Dropout rate of hidden states, during training.
        attention_dropout: Dropout rate of attention probabilities, during training.
        norm_epsilon: Added to the variance in every layer normalization.
    """

    vocab_size: int = 30522
    num_layers: int = 12
    num_heads: int = 12
    hidden_dim: int = 768
    mlp_dim: int = 3072
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_epsilon: float = 1e-12

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. "
                f"Received: hidden_dim={self.hidden_dim}, num_heads={self.num_heads}"
            )

    @property
    def block_parameters(self) -> int:
        """Number of weights in the blocks."""
        width, inner = self.hidden_dim, self.mlp_dim
        attention = 4 * (width * width + width)
        feed_forward = width * inner + inner + inner * width + width
        return self.num_layers * (attention + feed_forward + 2 * self.norm_parameters)

    @property
    def norm_parameters(self) -> int:
        """Number of weights in one layer normalization."""
        return 2 * self.hidden_dim


@dataclasses.dataclass(frozen=True)
class EncoderConfig(TransformerConfig):
    """The sizes of an encoder like BERT.

    Attributes:
        max_length: Longest sequence that has position embeddings.
        position_start: Row of the position table that belongs to the first token.
        num_segments: Number of segment ids. With 1, all tokens are in one segment; with 0, the
            model has no embedding of segments.
        init_std: Standard deviation of the initial weights.
        pooler: Whether the model has the `pooled` output and its weights.
    """

    max_length: int = 512
    position_start: int = 0
    num_segments: int = 2
    init_std: float = 0.02
    pooler: bool = True

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model's inputs."""
        segments = ("segment_ids",) if self.num_segments > 1 else ()
        return ("token_ids", *segments, "padding_mask")

    @property
    def num_parameters(self) -> int:
        """Number of weights, counted without building the model."""
        width = self.hidden_dim
        rows = self.vocab_size + self.max_length + self.position_start + self.num_segments
        pooler = self.pooler * (width * width + width)
        return rows * width + self.norm_parameters + self.block_parameters + pooler
