"""The masked-LM head."""

from typing import Any

import keras

from kzoo.layers.activations import activate, check_activation
from kzoo.layers.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.normalization import LayerNorm
from kzoo.layers.projection import projection
from kzoo.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable("kzoo")
class MaskedLMHead(keras.layers.Layer):
    """Scores every token of the vocabulary at the masked positions, and only there.

    logits = norm(activation(W h + b)) E^T + c, with E the token table of the embedding. Sub-layers:
    `dense` and `norm`; weight: `bias` (V,).

    The head owns no copy of the table: it arrives at every call, so there is nothing to keep in
    step and gradients reach the one table from both sides. A model ties it by passing
    `embedding.token_table` where it makes its graph; a model whose `from_config` makes that graph
    anew is tied after loading too.

    Args:
        vocab_size: Number of tokens, V.
        activation: `gelu` (exact), `gelu_tanh`, `relu`, `silu` or `tanh`.
        norm_epsilon: Added to the variance in the normalisation.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        mask_positions: Integers (B, P): the positions to predict, in [0, T).
        token_table: (V, D), a tensor or a variable.

    Call returns:
        Logits (B, P, V).

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

    def __init__(
        self,
        vocab_size: int,
        activation: str = "gelu",
        norm_epsilon: float = 1e-12,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(vocab_size=vocab_size)
        check_activation(activation)
        check_positive_numbers(norm_epsilon=norm_epsilon, init_std=init_std)
        self.vocab_size = vocab_size
        self.activation = activation
        self.norm_epsilon = norm_epsilon
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.norm = LayerNorm(norm_epsilon, name="norm", dtype=self.dtype_policy)

    def build(
        self, hidden_shape: Shape, mask_positions_shape: Shape, token_table_shape: Shape
    ) -> None:
        """Create the map, the normalisation and the bias."""
        if tuple(token_table_shape) != (self.vocab_size, hidden_shape[-1]):
            raise ValueError(
                f"`token_table` must have shape (vocab_size, D) = "
                f"({self.vocab_size}, {hidden_shape[-1]}). "
                f"Received: token_table.shape={tuple(token_table_shape)}"
            )
        gathered_shape = (*mask_positions_shape, hidden_shape[-1])
        self.dense = projection(hidden_shape[-1], self.dtype_policy, self.init_std, name="dense")
        self.dense.build(gathered_shape)
        self.norm.build(gathered_shape)
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="bias")

    def call(self, hidden: Tensor, mask_positions: Tensor, token_table: Tensor) -> Tensor:
        """Score; see the class."""
        masked = gather_positions(hidden, mask_positions)
        masked = self.norm(activate(self.dense(masked), self.activation))
        table = keras.ops.cast(token_table, masked.dtype)
        return keras.ops.matmul(masked, keras.ops.transpose(table)) + self.bias

    def compute_output_shape(
        self, hidden_shape: Shape, mask_positions_shape: Shape, token_table_shape: Shape
    ) -> Shape:
        """Return (B, P, V)."""
        return (*mask_positions_shape, self.vocab_size)


def gather_positions(hidden: Tensor, positions: Tensor) -> Tensor:
    """Pick positions of each sequence: one lookup in the batch laid end to end.

    Args:
        hidden: (B, T, D).
        positions: Integers (B, P) in [0, T).

    Returns:
        (B, P, D).
    """
    batch_size, length, hidden_dim = keras.ops.shape(hidden)
    starts = keras.ops.cast(keras.ops.arange(batch_size) * length, positions.dtype)
    flat = keras.ops.reshape(hidden, (-1, hidden_dim))
    return keras.ops.take(flat, positions + keras.ops.expand_dims(starts, 1), axis=0)
