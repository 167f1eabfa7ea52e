"""From token ids to the hidden states that enter the first block."""

from typing import Any

import keras

from kzoo.arguments import (
    check_counts,
    check_positive_integers,
    check_positive_numbers,
    check_rates,
)
from kzoo.layers.dropout import Dropout
from kzoo.layers.normalization import LayerNorm
from kzoo.layers.positions.absolute import LearnedPositions
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class TokenEmbedding(keras.layers.Layer):
    """A trainable vector for each token of the vocabulary, the rows of `table` (V, D).

    `TiedProjection` turns hidden states into logits with the same table.

    Args:
        vocab_size: Number of tokens, V. Ids are in [0, V).
        hidden_dim: Width of a vector, D.
        init_std: Standard deviation of the initial table.
        scale: What the vectors are multiplied by: sqrt(D) gives a table that also makes logits the
            size of positions, as in the paper of the Transformer, section 3.4.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        token_ids: Integers, any shape: commonly (B, T).
        return_table: Whether to return the table itself, (V, D), whatever the ids.

    Call returns:
        Their rows of the table: (B, T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import TokenEmbedding
        >>> tuple(TokenEmbedding(vocab_size=10, hidden_dim=4)(np.array([[1, 2, 3]])).shape)
        (1, 3, 4)

    References:
        Bengio et al., A Neural Probabilistic Language Model, 2003, section 2.
        https://www.jmlr.org/papers/v3/bengio03a.html
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_dim: int,
        init_std: float = 0.02,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(vocab_size=vocab_size, hidden_dim=hidden_dim)
        check_positive_numbers(init_std=init_std, scale=scale)
        self.vocab_size = vocab_size
        self.hidden_dim = hidden_dim
        self.init_std = init_std
        self.scale = scale
        self.supports_masking = True

    def build(self, token_ids_shape: Shape) -> None:
        """Create the table."""
        # Rows are cast after they are picked: casting the whole table costs more than the lookup.
        self.table = self.add_weight(
            shape=(self.vocab_size, self.hidden_dim),
            initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
            autocast=False,
            name="table",
        )

    def call(self, token_ids: Tensor, return_table: bool = False) -> Tensor:
        """Look the ids up; see the class."""
        if return_table:
            return keras.ops.convert_to_tensor(self.table)
        rows = keras.ops.take(self.table, token_ids, axis=0)
        rows = rows if self.scale == 1 else rows * self.scale
        return keras.ops.cast(rows, self.compute_dtype)

    def compute_output_shape(self, token_ids_shape: Shape) -> Shape:
        """Return the shape of the ids and the width."""
        return (*token_ids_shape, self.hidden_dim)

    def compute_output_spec(self, *args: Any, return_table: bool = False, **kwargs: Any) -> Any:
        """Return the shape and dtype of the vectors, or of the table."""
        if return_table:
            return keras.KerasTensor(self.table.shape, self.table.dtype)
        return super().compute_output_spec(*args, **kwargs)

    def compute_mask(self, token_ids: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """Carry the mask of ids on; a table that is asked for with hidden states has none."""
        return None if keras.backend.is_float_dtype(token_ids.dtype) else previous_mask


@serializable
class BertEmbedding(keras.layers.Layer):
    """BERT's embedding: tokens + segments + positions, normalized.

    Sub-layers: `tokens`, `positions` and `norm`; weight: `segment_table`. The token table, which a
    masked-LM head shares, is `token_table`. Where the embedding is narrower than the hidden states,
    the sub-layer `projection` widens it, as in ALBERT and ELECTRA.

    Args:
        vocab_size: Number of tokens, V.
        hidden_dim: Width of the hidden states, D.
        max_length: The longest sequence.
        num_segments: Number of segments; 0 for no embedding of them.
        dropout: Dropout rate of the result.
        norm_epsilon: Added to the variance in the normalization.
        init_std: Standard deviation of the initial weights.
        position_start: Row of the position table that belongs to the first token, as in
            `LearnedPositions`.
        embedding_dim: Width of the tables and of the normalization. None keeps `hidden_dim`.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        token_ids: Integers (B, T), T at most `max_length`.
        segment_ids: Integers (B, T), which segment each token is in. None puts all in segment 0. An
            error in a layer without segments.
        training: Whether dropout is active.
        return_table: Whether to return the token table itself, (V, `embedding_dim`), whatever the
            ids.

    Call returns:
        (B, T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import BertEmbedding
        >>> embedding = BertEmbedding(vocab_size=10, hidden_dim=4, max_length=8)
        >>> tuple(embedding(np.array([[1, 2, 3]])).shape)
        (1, 3, 4)
        >>> tuple(embedding.token_table.shape)
        (10, 4)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 3 and
        figure 2. https://arxiv.org/abs/1810.04805
        Lan et al., ALBERT: A Lite BERT, 2019, section 3.1 (`embedding_dim`).
        https://arxiv.org/abs/1909.11942
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_dim: int,
        max_length: int,
        num_segments: int = 2,
        dropout: float = 0.0,
        norm_epsilon: float = 1e-12,
        init_std: float = 0.02,
        position_start: int = 0,
        embedding_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(hidden_dim=hidden_dim)
        if embedding_dim is not None:
            check_positive_integers(embedding_dim=embedding_dim)
        check_counts(num_segments=num_segments, position_start=position_start)
        check_rates(dropout=dropout)
        check_positive_numbers(norm_epsilon=norm_epsilon)
        self.vocab_size = vocab_size
        self.hidden_dim = hidden_dim
        self.max_length = max_length
        self.num_segments = num_segments
        self.dropout = dropout
        self.norm_epsilon = norm_epsilon
        self.init_std = init_std
        self.position_start = position_start
        self.embedding_dim = embedding_dim
        self.supports_masking = True
        policy = {"dtype": self.dtype_policy}
        self._width = embedding_dim or hidden_dim
        self.tokens = TokenEmbedding(vocab_size, self._width, init_std, name="tokens", **policy)
        self.positions = LearnedPositions(
            max_length, init_std, position_start, name="positions", **policy
        )
        self.norm = LayerNorm(norm_epsilon, name="norm", **policy)
        self.hidden_dropout = Dropout(dropout, **policy)

    @property
    def token_table(self) -> keras.Variable:
        """The token table, (V, `embedding_dim`): what a tied head multiplies by."""
        return self.tokens.table

    def build(self, token_ids_shape: Shape) -> None:
        """Create the tables, the normalization and the projection."""
        self._check_ids(token_ids_shape)
        narrow_shape = (*token_ids_shape, self._width)
        self.tokens.build(token_ids_shape)
        self.segment_table = None
        if self.num_segments:
            self.segment_table = self.add_weight(
                shape=(self.num_segments, self._width),
                initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
                autocast=False,
                name="segment_table",
            )
        self.positions.build(narrow_shape)
        self.norm.build(narrow_shape)
        self.projection = None
        if self.embedding_dim is not None:
            self.projection = projection(
                self.hidden_dim, self.dtype_policy, self.init_std, name="projection"
            )
            self.projection.build(narrow_shape)

    def call(
        self,
        token_ids: Tensor,
        segment_ids: Tensor | None = None,
        training: bool = False,
        return_table: bool = False,
    ) -> Tensor:
        """Embed; see the class."""
        if return_table:
            return self.tokens(token_ids, return_table=True)
        self._check_ids(token_ids.shape)
        hidden = self.tokens(token_ids)
        if self.segment_table is not None:
            segments = self._segments(self.segment_table, segment_ids)
            hidden = hidden + keras.ops.cast(segments, hidden.dtype)
        elif segment_ids is not None:
            raise ValueError(
                "`segment_ids` must be None in an embedding of no segments. Received: "
                f"segment_ids.shape={tuple(segment_ids.shape)}, num_segments={self.num_segments}"
            )
        hidden = self.hidden_dropout(self.norm(hidden + self.positions(hidden)), training=training)
        return hidden if self.projection is None else self.projection(hidden)

    def compute_output_shape(self, token_ids_shape: Shape) -> Shape:
        """Return (B, T, D)."""
        self._check_ids(token_ids_shape)
        hidden_shape = (*token_ids_shape, self.hidden_dim)
        self.positions.compute_output_shape(hidden_shape)  # refuses what is longer than its table
        return hidden_shape

    @staticmethod
    def _segments(table: keras.Variable, segment_ids: Tensor | None) -> Tensor:
        """Return the rows of the segment table, or that of segment 0 for all tokens."""
        return table[0] if segment_ids is None else keras.ops.take(table, segment_ids, axis=0)

    def compute_output_spec(self, *args: Any, return_table: bool = False, **kwargs: Any) -> Any:
        """Return the shape and dtype of the hidden states, or of the token table."""
        if return_table:
            return self.tokens.compute_output_spec(return_table=True)
        return super().compute_output_spec(*args, **kwargs)

    def compute_mask(self, token_ids: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """Carry on what the token embedding does."""
        return self.tokens.compute_mask(token_ids, previous_mask)

    @staticmethod
    def _check_ids(token_ids_shape: Shape) -> None:
        """Require a batch of sequences."""
        if len(token_ids_shape) != 2:
            raise ValueError(
                "`token_ids` must have shape (B, T). "
                f"Received: token_ids.shape={tuple(token_ids_shape)}"
            )
