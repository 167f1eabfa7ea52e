"""Multi-head attention."""

from functools import partial
from typing import Any

import keras

from kzoo.arguments import check_positive_integers
from kzoo.layers.attention.bias import attention_bias, length_of, places
from kzoo.layers.attention.cache import Cache, as_start, empty_cache, update_cache
from kzoo.layers.attention.calls import check_arguments, check_call, masks_of_call
from kzoo.layers.attention.functional import attention
from kzoo.layers.composition import build_part
from kzoo.layers.dropout import Dropout
from kzoo.layers.graph import is_static_graph
from kzoo.layers.keras_masks import merge_masks
from kzoo.layers.normalization import RMSNorm
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Position, Shape, Tensor


@serializable
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head attention, of a sequence to itself or to a context.

    Each of N heads projects the inputs to width H and computes softmax(c Q K^T + bias) V,
    where the bias is 0 for keys that may be attended to and -inf for the others: their weights are
    exactly 0. A row whose keys are all masked has the weights of the same row without a mask. The
    heads, side by side, are projected back to the width of the query. Sub-layers: `query`, `key`,
    `value` and `out`; also `query_norm`, `key_norm` and `gate` where they are asked for.

    Args:
        num_heads: Number of heads, N.
        num_kv_heads: Number of heads of the keys and values, K, each shared by N / K heads of the
            queries: 1 is multi-query attention. None gives every head its own.
        head_dim: Width of a head, H. None divides the width of the query among the heads.
        position: A new layer that tells the order of the tokens, such as `RotaryPositions`; see
            `Position`. None attends in the same way to every order.
        causal: Whether a query attends to nothing that follows it.
        window: A query attends to what is fewer than `window` places away. None sees any distance.
        score_scale: What products of queries and keys are multiplied by, c. None is 1 / sqrt(H).
        soft_cap: Largest size of a score, z: x becomes z tanh(x / z). None caps nothing.
        query_key_norm: Whether each head's queries and keys are divided by their root mean square.
        gated: Whether what the heads attended to is multiplied by sigmoid(W query): a head that
            has nothing to say closes its gate, instead of growing outliers that 8 bits cannot hold.
        dropout: Dropout rate of the attention weights.
        use_bias: Whether the projections add a bias.
        init_std: Standard deviation of the initial kernels.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        query: (B, T, D).
        context: (B, S, any width), what is attended to. None attends to the query itself.
        mask: Boolean or integer, True for keys that may be attended to: (B, S) or (B, T, S). A mask
            that Keras attached to what is attended to is obeyed too, and the result carries on that
            of the query.
        document_ids: Integers (B, T), which document each token is in: of several that are packed
            in one sequence, none attends to another.
        position_bias: Added to the scores, (1 or B, 1 or N, T, S): what layers share, such as the
            result of `PositionBias`.
        cache: The keys and values of the tokens that precede the query, as `make_cache` or the
            last call returned it: S is then its length.
        start: The number of tokens in the cache: an integer or a scalar tensor.
        return_scores: Whether to return the attention weights too.
        training: Whether dropout is active.

    Call returns:
        (B, T, D). With `return_scores` or a cache a tuple: this, the weights before dropout
        (B, N, T, S) if they are asked for, and the cache with the query's keys and values.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import MultiHeadAttention
        >>> hidden = np.ones((2, 5, 8), "float32")
        >>> layer = MultiHeadAttention(num_heads=4, num_kv_heads=2, causal=True)
        >>> tuple(layer(hidden).shape)
        (2, 5, 8)
        >>> cache = layer.make_cache(batch_size=2, length=16)
        >>> output, cache = layer(hidden, cache=cache, start=0)
        >>> output, cache = layer(hidden[:, :1], cache=cache, start=5)
        >>> tuple(output.shape)
        (2, 1, 8)

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.2.2 and equation 1.
        https://arxiv.org/abs/1706.03762
        Ainslie et al., GQA, 2023, section 2.2 (`num_kv_heads`). https://arxiv.org/abs/2305.13245
        Beltagy et al., Longformer, 2020, section 3.1 (`window`). https://arxiv.org/abs/2004.05150
        Gemma Team, Gemma 2, 2024, section 2 (`soft_cap`). https://arxiv.org/abs/2408.00118
        Dehghani et al., Scaling Vision Transformers to 22 Billion Parameters, 2023, section 2
        (`query_key_norm`). https://arxiv.org/abs/2302.05442
        Qiu et al., Gated Attention for Large Language Models, 2025, equation 5 (`gated`).
        https://arxiv.org/abs/2505.06708
    """

    def __init__(  # noqa: PLR0913: each is a property of its own; no two of them make a group
        self,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        position: Position | None = None,
        causal: bool = False,
        window: int | None = None,
        score_scale: float | None = None,
        soft_cap: float | None = None,
        query_key_norm: bool = False,
        gated: bool = False,
        dropout: float = 0.0,
        use_bias: bool = True,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = head_dim
        self.position = position
        self.causal = causal
        self.window = window
        self.score_scale = score_scale
        self.soft_cap = soft_cap
        self.query_key_norm = query_key_norm
        self.gated = gated
        self.dropout = dropout
        self.use_bias = use_bias
        self.init_std = init_std
        check_arguments(self)
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        self.weights_dropout: Any = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, query_shape: Shape, context_shape: Shape | None = None) -> None:
        """Create the projections, and the norms of heads and the position's weights."""
        hidden_dim, context_shape = query_shape[-1], context_shape or query_shape
        head_dim = self._head_dim(hidden_dim)
        kv_heads = self.num_kv_heads or self.num_heads
        inner_shape = (*query_shape[:-1], self.num_heads * head_dim)
        projections = {
            "query": (query_shape, self.num_heads * head_dim),
            "key": (context_shape, kv_heads * head_dim),
            "value": (context_shape, kv_heads * head_dim),
            **({"gate": (query_shape, self.num_heads * head_dim)} if self.gated else {}),
            "out": (inner_shape, hidden_dim),
        }
        for name, (shape, units) in projections.items():
            layer = projection(units, self.dtype_policy, self.init_std, name, self.use_bias)
            layer.build(shape)
            setattr(self, name, layer)
        heads_shape = (*query_shape[:-1], self.num_heads, head_dim)
        if self.query_key_norm:
            self.query_norm = RMSNorm(name="query_norm", dtype=self.dtype_policy)
            self.key_norm = RMSNorm(name="key_norm", dtype=self.dtype_policy)
            self.query_norm.build(heads_shape)
            self.key_norm.build((*context_shape[:-1], kv_heads, head_dim))
        if self.position is not None:
            build_part("position", self.position, heads_shape)

    def __call__(self, *args: Any, mask: Tensor | None = None, **kwargs: Any) -> Any:
        """Call the layer, with a name for `mask` that Keras does not give to attached masks."""
        given = {} if mask is None else {"attention_mask": mask}
        return super().__call__(*args, **kwargs, **given)

    def call(
        self,
        query: Tensor,
        context: Tensor | None = None,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        position_bias: Tensor | None = None,
        cache: Cache | None = None,
        start: Any = 0,
        return_scores: bool = False,
        training: bool = False,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Any:
        """Attend; see the class."""
        masks = masks_of_call(context, attention_mask, mask, query_mask, context_mask)
        check_call(query, context, masks, document_ids, position_bias, cache, self)
        attended, start = query if context is None else context, as_start(start)
        heads = self._split_heads(self.query(query))
        key, value = (self._split_heads(part(attended)) for part in (self.key, self.value))
        if self.query_key_norm:
            heads, key = self.query_norm(heads), self.key_norm(key)
        if self.position is not None:
            heads = self.position.rotate(heads, places(length_of(heads), start))
            key = self.position.rotate(key, places(length_of(key), start))
        if cache is not None:
            cache = update_cache(cache, key, value, start)
            key, value = cache["key"], cache["value"]
        bias, is_causal = attention_bias(
            merge_masks(*masks.values()),
            document_ids,
            self.position,
            position_bias,
            self.causal,
            self.window,
            (heads, key),
            None if cache is None else start,
            self.soft_cap,
            self.compute_dtype,
        )
        dropped = training and self.dropout > 0
        result = attention(
            heads,
            key,
            value,
            bias,
            is_causal=is_causal,
            scale=self.score_scale,
            soft_cap=self.soft_cap,
            dropout=partial(self.weights_dropout, training=True) if dropped else None,
            return_scores=return_scores,
        )
        values, *scores = result if return_scores else (result,)
        # With the batch size of the query, what a mask of another one broadcasts to is an error.
        batch_size = -1 if is_static_graph() else keras.ops.shape(query)[0]
        inner_shape = (batch_size, length_of(query), self.out.kernel.shape[0])
        values = keras.ops.reshape(values, inner_shape)
        if self.gated:
            values = values * keras.ops.sigmoid(self.gate(query))
        outputs = (self.out(values), *scores, *([] if cache is None else [cache]))
        return outputs if len(outputs) > 1 else outputs[0]

    def make_cache(self, batch_size: int, length: int) -> Cache:
        """Return an empty cache, for decoding step by step.

        Args:
            batch_size: Number of sequences, B.
            length: The longest sequence, L.

        Returns:
            The `cache` of the first call.

        Raises:
            ValueError: If the width of a head is not known yet.
        """
        check_positive_integers(batch_size=batch_size, length=length)
        if not self.built and self.head_dim is None:
            raise ValueError(
                "The layer must be built, or have a `head_dim`, before it makes a cache. "
                f"Received: head_dim={self.head_dim}"
            )
        kv_heads = self.num_kv_heads or self.num_heads
        head_dim = self.head_dim or self.key.kernel.shape[1] // kv_heads
        return empty_cache(batch_size, length, kv_heads, head_dim, self.compute_dtype)

    def compute_output_spec(
        self,
        query: Tensor,
        context: Tensor | None = None,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        position_bias: Tensor | None = None,
        cache: Cache | None = None,
        start: Any = 0,
        return_scores: bool = False,
        training: bool = False,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Any:
        """Return what a call will return, without computing it."""
        masks = masks_of_call(context, attention_mask, mask, query_mask, context_mask)
        check_call(query, context, masks, document_ids, position_bias, cache, self)
        symbol = partial(keras.KerasTensor, dtype=self.compute_dtype)
        outputs: list[Any] = [symbol(query.shape)]
        if return_scores:
            keys = (query if context is None else context) if cache is None else cache["key"]
            outputs.append(symbol((query.shape[0], self.num_heads, query.shape[1], keys.shape[1])))
        if cache is not None:
            outputs.append({name: symbol(tensor.shape) for name, tensor in cache.items()})
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, query_shape: Shape, context_shape: Shape | None = None) -> Shape:
        """Return the shape of the query."""
        return query_shape

    def _split_heads(self, projected: Tensor) -> Tensor:
        """Reshape (B, T, N * H) to (B, T, N, H)."""
        head_dim = self.out.kernel.shape[0] // self.num_heads
        num_heads = projected.shape[-1] // head_dim
        return keras.ops.reshape(projected, (-1, length_of(projected), num_heads, head_dim))

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
