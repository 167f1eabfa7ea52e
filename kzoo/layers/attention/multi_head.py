"""Multi-head attention."""

from functools import partial
from typing import Any

import keras

from kzoo.layers.arguments import check_positive_integers, check_positive_numbers, check_rates
from kzoo.layers.attention.functional import attention
from kzoo.layers.attention.masks import mask_bias
from kzoo.layers.projection import projection
from kzoo.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable("kzoo")
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head attention, of a sequence to itself or to a context.

    Each of N heads projects the inputs to width H and computes softmax(Q K^T / sqrt(H) + bias) V,
    where the bias is 0 for keys that may be attended to and `MASK_BIAS` for the others. The heads,
    side by side, are projected back to the width of the query. Sub-layers: `query`, `key`, `value`
    and `out`.

    Args:
        num_heads: Number of heads, N.
        head_dim: Width of a head, H. None divides the width of the query among the heads.
        dropout: Dropout rate of the attention weights.
        use_bias: Whether the projections add a bias.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        query: (B, T, D).
        context: (B, S, any width), what is attended to. None attends to the query itself.
        mask: Boolean or integer, True for keys that may be attended to: (B, S) or (B, T, S).
        training: Whether dropout is active.

    Call returns:
        (B, T, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import MultiHeadAttention
        >>> hidden = np.ones((2, 5, 8), "float32")
        >>> tuple(MultiHeadAttention(num_heads=2)(hidden).shape)
        (2, 5, 8)

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.2.2 and equation 1.
        https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(num_heads=num_heads)
        if head_dim is not None:
            check_positive_integers(head_dim=head_dim)
        check_rates(dropout=dropout)
        check_positive_numbers(init_std=init_std)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.weights_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, query_shape: Shape, context_shape: Shape | None = None) -> None:
        """Create the four projections."""
        hidden_dim = query_shape[-1]
        inner_dim = self.num_heads * self._head_dim(hidden_dim)
        project = partial(
            projection,
            policy=self.dtype_policy,
            init_std=self.init_std,
            use_bias=self.use_bias,
        )
        self.query = project(inner_dim, name="query")
        self.key = project(inner_dim, name="key")
        self.value = project(inner_dim, name="value")
        self.out = project(hidden_dim, name="out")
        self.query.build(query_shape)
        self.key.build(context_shape or query_shape)
        self.value.build(context_shape or query_shape)
        self.out.build((*query_shape[:-1], inner_dim))

    def call(
        self,
        query: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        """Attend; see the class."""
        context = query if context is None else context
        dropped = training and self.dropout > 0
        attended = attention(
            self._split_heads(self.query(query)),
            self._split_heads(self.key(context)),
            self._split_heads(self.value(context)),
            bias=None if mask is None else mask_bias(mask, self.compute_dtype),
            dropout=partial(self.weights_dropout, training=True) if dropped else None,
        )
        length = keras.ops.shape(query)[1]
        return self.out(keras.ops.reshape(attended, (-1, length, self.out.kernel.shape[0])))

    def compute_output_shape(self, query_shape: Shape, context_shape: Shape | None = None) -> Shape:
        """Return the shape of the query."""
        return query_shape

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> None:
        """Attach no mask to the result: masks are passed, never implied."""

    def _split_heads(self, projected: Tensor) -> Tensor:
        """Reshape (B, T, N * H) to (B, T, N, H)."""
        length, width = keras.ops.shape(projected)[1], projected.shape[-1]
        return keras.ops.reshape(projected, (-1, length, self.num_heads, width // self.num_heads))

    def _head_dim(self, hidden_dim: int) -> int:
        """Return the width of a head, for queries of the given width."""
        if self.head_dim is not None:
            return self.head_dim
        if hidden_dim % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the width of the query, {hidden_dim}, unless `head_dim` "
                f"is given. Received: num_heads={self.num_heads}"
            )
        return hidden_dim // self.num_heads
