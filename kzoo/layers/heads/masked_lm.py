"""The masked-LM head."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.activations import activate, check_activation
from kzoo.layers.normalization import LayerNorm
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.tying import table_in_graph
from kzoo.layers.types import Shape, Tensor


@serializable
class MaskedLMHead(keras.layers.Layer):
    """Scores every token of the vocabulary, at the masked positions or everywhere.

    logits = norm(activation(W h + b)) E^T + c, with E a table with a row for each token.
    Sub-layers: `dense` and `norm`; weights: `bias` (V,) and, in a free head, `kernel`, E^T.

    A tied head takes E, the token table of the embedding, at every call, and owns no copy of it:
    there is nothing to keep in step, and gradients reach the one table from both sides. A
    functional model ties it by passing `embedding.token_table`, which enters the graph as an output
    of the embedding: clones and loaded files are tied too. A free head is called without a table.

    Args:
        vocab_size: Number of tokens, V.
        hidden_dim: Width of the vectors that are compared with the rows of E, where the embedding
            is narrower than the hidden states. None keeps the width of the hidden states.
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        norm_epsilon: Added to the variance in the normalization.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        mask_positions: Integers (B, P): the positions to predict, in [0, T). None predicts all.
        token_table: (V, hidden_dim), a tensor or a variable. In a functional model a variable must
            be the table of a `TokenEmbedding` or `BertEmbedding` that `hidden` is computed with.
            None makes a free head.

    Call returns:
        Logits (B, P, V), or (B, T, V) everywhere.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import BertEmbedding, MaskedLMHead
        >>> embedding = BertEmbedding(vocab_size=10, hidden_dim=4, max_length=8)
        >>> hidden = embedding(np.array([[1, 2, 3]]))
        >>> logits = MaskedLMHead(10)(hidden, np.array([[0, 2]]), embedding.token_table)
        >>> tuple(logits.shape)
        (1, 2, 10)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 3.1,
        task 1. https://arxiv.org/abs/1810.04805
        Press and Wolf, Using the Output Embedding to Improve Language Models, 2017.
        https://arxiv.org/abs/1608.05859
    """

    output_kind = "token_logits"

    def __init__(
        self,
        vocab_size: int,
        hidden_dim: int | None = None,
        activation: str = "gelu",
        norm_epsilon: float = 1e-12,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(vocab_size=vocab_size)
        if hidden_dim is not None:
            check_positive_integers(hidden_dim=hidden_dim)
        check_activation(activation)
        check_positive_numbers(norm_epsilon=norm_epsilon, init_std=init_std)
        self.vocab_size = vocab_size
        self.hidden_dim = hidden_dim
        self.activation = activation
        self.norm_epsilon = norm_epsilon
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.norm = LayerNorm(norm_epsilon, name="norm", dtype=self.dtype_policy)

    def __call__(
        self,
        hidden: Tensor,
        mask_positions: Tensor | None = None,
        token_table: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Call the head with the table as part of the graph; see the class."""
        table = table_in_graph(hidden, token_table)
        return super().__call__(hidden, mask_positions, table, **kwargs)

    def build(
        self,
        hidden_shape: Shape,
        mask_positions_shape: Shape | None = None,
        token_table_shape: Shape | None = None,
    ) -> None:
        """Create the dense layer, the normalization, the bias and, without a table, the kernel."""
        width = self.hidden_dim or hidden_shape[-1]
        if token_table_shape is not None:
            self._check_table(token_table_shape, width)
        self.dense = projection(width, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(hidden_shape)
        self.norm.build((*hidden_shape[:-1], width))
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="bias")
        self.kernel = None
        if token_table_shape is None:
            self.kernel = self.add_weight(
                shape=(width, self.vocab_size),
                initializer=keras.initializers.TruncatedNormal(stddev=self.init_std),
                name="kernel",
            )

    def call(
        self,
        hidden: Tensor,
        mask_positions: Tensor | None = None,
        token_table: Tensor | None = None,
    ) -> Tensor:
        """Score; see the class."""
        if mask_positions is not None:
            hidden = gather_positions(hidden, mask_positions)
        hidden = self.norm(activate(self.dense(hidden), self.activation))
        return keras.ops.matmul(hidden, self._kernel(token_table, hidden.dtype)) + self.bias

    def compute_output_shape(
        self,
        hidden_shape: Shape,
        mask_positions_shape: Shape | None = None,
        token_table_shape: Shape | None = None,
    ) -> Shape:
        """Return (B, P, V) or (B, T, V)."""
        return (*(mask_positions_shape or hidden_shape[:2]), self.vocab_size)

    def compute_mask(self, hidden: Tensor, previous_mask: Tensor | None) -> None:
        """Carry no mask on: weights say which predictions count."""

    def _kernel(self, token_table: Tensor | None, dtype: str) -> Tensor:
        """Return E^T: the head's own, or that of the table."""
        if (token_table is None) != (self.kernel is not None):
            built = "with" if self.kernel is None else "without"
            raise ValueError(
                f"`token_table` must be given at every call or at none: the head was built {built} "
                f"it. Received: token_table={None if token_table is None else 'a table'}"
            )
        if token_table is None:
            return self.kernel
        self._check_table(token_table.shape, self.dense.units)
        return keras.ops.transpose(keras.ops.cast(token_table, dtype))

    def _check_table(self, shape: Shape, width: int) -> None:
        """Require a table with a row for each token, as wide as what it is compared with."""
        if tuple(shape) != (self.vocab_size, width):
            raise ValueError(
                f"`token_table` must have shape (vocab_size, hidden_dim) = "
                f"({self.vocab_size}, {width}). Received: token_table.shape={tuple(shape)}"
            )


def gather_positions(hidden: Tensor, positions: Tensor) -> Tensor:
    """Pick positions of each sequence: one lookup in the batch laid end to end.

    Args:
        hidden: (B, T, D).
        positions: Integers (B, P) in [0, T).

    Returns:
        (B, P, D).

    Raises:
        ValueError: If the positions have another rank.
    """
    if len(positions.shape) != 2:
        raise ValueError(
            "`mask_positions` must have shape (B, P). "
            f"Received: mask_positions.shape={tuple(positions.shape)}"
        )
    batch_size, length, hidden_dim = keras.ops.shape(hidden)
    starts = keras.ops.cast(keras.ops.arange(batch_size) * length, positions.dtype)
    flat = keras.ops.reshape(hidden, (-1, hidden_dim))
    return keras.ops.take(flat, positions + keras.ops.expand_dims(starts, 1), axis=0)
