"""The transformer block."""

from collections.abc import Callable
from typing import Any

import keras

from kzoo.arguments import check_choice, check_positive_numbers, check_rates
from kzoo.layers.attention.cache import Cache
from kzoo.layers.composition import build_part, check_calls, check_layers, check_options
from kzoo.layers.keras_masks import merge_masks
from kzoo.layers.normalization import NORMS
from kzoo.layers.residual import LayerScale, StochasticDepth
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor

Branch = Callable[[Tensor], Tensor]


def post_residual(hidden: Tensor, attend: Branch, feed: Branch, norms: list[Branch]) -> Tensor:
    """Normalize each sum.

    Args:
        hidden: (B, T, D).
        attend: The attention.
        feed: The feed-forward network.
        norms: Two normalizations.

    Returns:
        (B, T, D).
    """
    hidden = norms[0](hidden + attend(hidden))
    return norms[1](hidden + feed(hidden))


def pre_residual(hidden: Tensor, attend: Branch, feed: Branch, norms: list[Branch]) -> Tensor:
    """Normalize what enters each branch.

    Args:
        hidden: (B, T, D).
        attend: The attention.
        feed: The feed-forward network.
        norms: Two normalizations.

    Returns:
        (B, T, D).
    """
    hidden = hidden + attend(norms[0](hidden))
    return hidden + feed(norms[1](hidden))


def parallel_residual(hidden: Tensor, attend: Branch, feed: Branch, norms: list[Branch]) -> Tensor:
    """Give both branches the same input, normalized once.

    Args:
        hidden: (B, T, D).
        attend: The attention.
        feed: The feed-forward network.
        norms: One normalization.

    Returns:
        (B, T, D).
    """
    normed = norms[0](hidden)
    return hidden + attend(normed) + feed(normed)


RESIDUALS: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "post": (post_residual, ("attention_norm", "feed_forward_norm")),
    "pre": (pre_residual, ("attention_norm", "feed_forward_norm")),
    "sandwich": (pre_residual, ("attention_norm", "feed_forward_norm")),
    "parallel": (parallel_residual, ("input_norm",)),
}
"""How each residual joins the branches, and the normalizations it asks for."""


@serializable
class TransformerBlock(keras.layers.Layer):
    """Attention and a feed-forward network, each a branch that is added to a residual.

    With a the attention and f the feed-forward network:

    * `post`: x = norm(x + a(x)), x = norm(x + f(x)), as in BERT;
    * `pre`: x = x + a(norm(x)), x = x + f(norm(x)), as in GPT-2;
    * `sandwich`: x = x + norm(a(norm(x))), x = x + norm(f(norm(x))), as in Gemma 2;
    * `parallel`: x = x + a(norm(x)) + f(norm(x)), with one normalization, as in GPT-J.

    What a branch adds passes through dropout, LayerScale and stochastic depth where these are
    asked for. The normalizations are called `attention_norm` and `feed_forward_norm`, in a sandwich
    also `attention_out_norm` and `feed_forward_out_norm`, in parallel only `input_norm`; the
    factors of LayerScale `attention_scale` and `feed_forward_scale`.

    Args:
        attention: The attention, a new layer such as `MultiHeadAttention`: any Keras layer that can
            be called with hidden states alone, and that takes those of the options below that the
            block is called with. The weights of both parts are found under their own names: give
            them the names of these arguments.
        feed_forward: The feed-forward network, a new layer such as `FeedForward`.
        residual: `post`, `pre`, `sandwich` or `parallel`.
        norm: `layer_norm`, `layer_norm_no_bias`, `rms_norm` or `no_norm`.
        norm_epsilon: Added to the variance in the normalizations.
        dropout: Dropout rate of what is added to each residual.
        layer_scale: What the factors of each branch's `LayerScale` start at. None has no such
            factors.
        stochastic_depth: Share of the samples whose branch is dropped in training.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        mask: Boolean or integer, True for positions that may be attended to: (B, T) or (B, T, T). A
            mask that Keras attached to `hidden` is obeyed too, and the result carries it on.
        document_ids: Integers (B, T), for an attention that takes them.
        cache: The cache of such an attention, for decoding step by step.
        start: The number of tokens in the cache.
        training: Whether dropout is active.

    Call returns:
        (B, T, D). With a cache a pair: this, and the cache with what was added to it.

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import FeedForward, MultiHeadAttention, TransformerBlock
        >>> block = TransformerBlock(
        ...     MultiHeadAttention(num_heads=2, name="attention"),
        ...     FeedForward(mlp_dim=16, name="feed_forward"),
        ...     residual="pre",
        ... )
        >>> tuple(block(np.ones((2, 5, 8), "float32")).shape)
        (2, 5, 8)

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.1 (`post`).
        https://arxiv.org/abs/1706.03762
        Xiong et al., On Layer Normalization in the Transformer Architecture, 2020, table 1
        (`pre`). https://arxiv.org/abs/2002.04745
        Ding et al., CogView, 2021, section 2.4 (`sandwich`). https://arxiv.org/abs/2105.13290
        Chowdhery et al., PaLM, 2022, section 2 (`parallel`). https://arxiv.org/abs/2204.02311
    """

    output_kind = "hidden_states"

    def __init__(
        self,
        attention: keras.layers.Layer,
        feed_forward: keras.layers.Layer,
        residual: str = "post",
        norm: str = "layer_norm",
        norm_epsilon: float = 1e-12,
        dropout: float = 0.0,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_layers(self, attention=attention, feed_forward=feed_forward)
        check_calls(attention=attention, feed_forward=feed_forward)
        check_choice(RESIDUALS, residual=residual)
        check_choice(NORMS, norm=norm)
        check_positive_numbers(norm_epsilon=norm_epsilon)
        if layer_scale is not None:
            check_positive_numbers(layer_scale=layer_scale)
        check_rates(dropout=dropout, stochastic_depth=stochastic_depth)
        self.attention = attention
        self.feed_forward = feed_forward
        self.residual = residual
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.dropout = dropout
        self.layer_scale = layer_scale
        self.stochastic_depth = stochastic_depth
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        policy = {"dtype": self.dtype_policy}
        self.norms = [
            NORMS[norm](norm_epsilon, name=name, **policy) for name in RESIDUALS[residual][1]
        ]
        self.attention_ends = self._branch_ends("attention", **policy)
        self.feed_forward_ends = self._branch_ends("feed_forward", **policy)

    def build(self, hidden_shape: Shape) -> None:
        """Create the weights of all parts."""
        build_part("attention", self.attention, hidden_shape)
        build_part("feed_forward", self.feed_forward, hidden_shape)
        for part in (*self.norms, *self.attention_ends, *self.feed_forward_ends):
            part.build(hidden_shape)

    def __call__(self, *args: Any, mask: Tensor | None = None, **kwargs: Any) -> Any:
        """Call the layer, with a name for `mask` that Keras does not give to attached masks."""
        given = {} if mask is None else {"attention_mask": mask}
        return super().__call__(*args, **kwargs, **given)

    def call(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        start: Any = 0,
        training: bool = False,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
    ) -> Any:
        """Transform; see the class."""
        mask = merge_masks(attention_mask, mask if hidden_mask is None else hidden_mask)
        options = self._options(mask, document_ids, cache, start)

        def attend(hidden: Tensor) -> Tensor:
            nonlocal cache
            attended = self.attention(hidden, **options, training=training)
            if cache is not None:
                attended, cache = attended
            return _apply(self.attention_ends, attended, training)

        def feed(hidden: Tensor) -> Tensor:
            fed = self.feed_forward(hidden, training=training)
            return _apply(self.feed_forward_ends, fed, training)

        hidden = RESIDUALS[self.residual][0](hidden, attend, feed, self.norms)
        return hidden if cache is None else (hidden, cache)

    def compute_output_spec(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        start: Any = 0,
        training: bool = False,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
    ) -> Any:
        """Return what a call will return, without computing it."""
        mask = merge_masks(attention_mask, mask if hidden_mask is None else hidden_mask)
        options = self._options(mask, document_ids, cache, start)
        attended = self.attention.compute_output_spec(hidden, **options)
        output = keras.KerasTensor(hidden.shape, dtype=self.compute_dtype)
        return output if cache is None else (output, attended[1])

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return the shape of the hidden states."""
        return hidden_shape

    def _options(
        self, mask: Tensor | None, document_ids: Tensor | None, cache: Cache | None, start: Any
    ) -> dict[str, Any]:
        """Return what the attention is called with: only what is given, for it may take no more."""
        options = {"mask": mask, "document_ids": document_ids, "cache": cache}
        given = {name: option for name, option in options.items() if option is not None}
        given = given if cache is None else {**given, "start": start}
        check_options("attention", self.attention, given)
        return given

    def _branch_ends(self, branch: str, **policy: Any) -> list[keras.layers.Layer]:
        """Return what the result of a branch passes through before it is added."""
        ends = []
        if self.residual == "sandwich":
            make_norm = NORMS[self.norm]
            ends.append(make_norm(self.norm_epsilon, name=f"{branch}_out_norm", **policy))
        if self.dropout:
            ends.append(keras.layers.Dropout(self.dropout, **policy))
        if self.layer_scale is not None:
            ends.append(LayerScale(self.layer_scale, name=f"{branch}_scale", **policy))
        if self.stochastic_depth:
            ends.append(StochasticDepth(self.stochastic_depth, **policy))
        return ends


def _apply(layers: list[keras.layers.Layer], hidden: Tensor, training: bool) -> Tensor:
    """Apply one layer after the other."""
    for layer in layers:
        hidden = layer(hidden, training=training)
    return hidden
