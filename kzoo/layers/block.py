"""The transformer block."""

from typing import Any

import keras

from kzoo.arguments import check_choice, check_positive_numbers, check_rates
from kzoo.layers.attention.cache import Cache
from kzoo.layers.composition import build_part, check_calls, check_layers, check_options
from kzoo.layers.dropout import Dropout
from kzoo.layers.keras_masks import merge_masks
from kzoo.layers.normalization import NORMS
from kzoo.layers.residual import RESIDUALS, Branch, LayerScale, StochasticDepth
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class TransformerBlock(keras.layers.Layer):
    """Attention and a feed-forward network, each a branch that is added to a residual.

    A decoder's block attends to what an encoder returned too: a branch between these two.

    With a the attention and f the feed-forward network:

    * `post`: x = norm(x + a(x)), x = norm(x + f(x)), as in BERT;
    * `pre`: x = x + a(norm(x)), x = x + f(norm(x)), as in GPT-2;
    * `sandwich`: x = x + norm(a(norm(x))), x = x + norm(f(norm(x))), as in Gemma 2;
    * `parallel`: x = x + a(norm(x)) + f(norm(x)), with one normalization, as in GPT-J.

    What a branch adds passes through dropout, LayerScale and stochastic depth where these are
    asked for. The normalizations are called `attention_norm` and `feed_forward_norm`, in a sandwich
    also `attention_out_norm` and `feed_forward_out_norm`, in parallel only `input_norm`; the
    factors of LayerScale `attention_scale` and `feed_forward_scale`; those of a cross-attention
    `cross_attention_norm` and so on.

    Args:
        attention: The attention, a new layer such as `MultiHeadAttention`: any Keras layer that can
            be called with hidden states alone, and that takes those of the options below that the
            block is called with. The weights of the parts are found under their own names: give
            them the names of these arguments.
        feed_forward: The feed-forward network, a new layer such as `FeedForward`.
        cross_attention: The attention to a context, a new layer such as `MultiHeadAttention`: one
            that takes `context`, and `mask` where the context has a mask. None is an encoder's
            block, or that of a decoder alone.
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
        context: (B, S, any width), what the cross-attention attends to, for a block that has one.
        context_mask: Boolean or integer, True for positions of the context that may be attended to:
            (B, S) or (B, T, S). A mask that Keras attached to `context` is obeyed too.
        document_ids: Integers (B, T), for an attention that takes them.
        position_bias: Added to the scores of an attention that takes it; see `MultiHeadAttention`.
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
        cross_attention: keras.layers.Layer | None = None,
        residual: str = "post",
        norm: str = "layer_norm",
        norm_epsilon: float = 1e-12,
        dropout: float = 0.0,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.attention = attention
        self.feed_forward = feed_forward
        self.cross_attention = cross_attention
        parts = self._parts()
        check_layers(self, **parts)
        check_calls(**parts)
        if cross_attention is not None:
            check_options("cross_attention", cross_attention, ["context"])
        check_choice(RESIDUALS, residual=residual)
        check_choice(NORMS, norm=norm)
        check_positive_numbers(norm_epsilon=norm_epsilon)
        if layer_scale is not None:
            check_positive_numbers(layer_scale=layer_scale)
        check_rates(dropout=dropout, stochastic_depth=stochastic_depth)
        self.residual = residual
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.dropout = dropout
        self.layer_scale = layer_scale
        self.stochastic_depth = stochastic_depth
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True
        norms = ["input_norm"] if residual == "parallel" else [f"{name}_norm" for name in parts]
        policy = {"dtype": self.dtype_policy}
        self.norms = [NORMS[norm](norm_epsilon, name=name, **policy) for name in norms]
        for name in parts:
            setattr(self, f"{name}_ends", self._branch_ends(name, **policy))

    def build(self, hidden_shape: Shape, context_shape: Shape | None = None) -> None:
        """Create the weights of all parts."""
        self._check_context(context_shape)
        for name, part in self._parts().items():
            if context_shape is not None and name == "cross_attention":
                build_part(name, part, hidden_shape, context_shape)
            else:
                build_part(name, part, hidden_shape)
            for end in getattr(self, f"{name}_ends"):
                end.build(hidden_shape)
        for norm in self.norms:
            norm.build(hidden_shape)

    def __call__(
        self,
        *args: Any,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call the layer, with names for masks that Keras does not give to attached masks."""
        masks = {"attention_mask": mask, "cross_attention_mask": context_mask}
        given = {name: mask for name, mask in masks.items() if mask is not None}
        return super().__call__(*args, **kwargs, **given)

    def call(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cross_attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        position_bias: Tensor | None = None,
        cache: Cache | None = None,
        start: Any = 0,
        training: bool = False,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Any:
        """Transform; see the class."""
        masks = (
            merge_masks(attention_mask, mask if hidden_mask is None else hidden_mask),
            merge_masks(cross_attention_mask, context_mask),
        )
        options = self._options(masks, context, document_ids, position_bias, cache, start)
        return self.transform(hidden, options, training)

    def transform(
        self, hidden: Tensor, options: dict[str, dict[str, Any]], training: bool = False
    ) -> Any:
        """Apply the branches, called with the options of their parts, to the residual."""
        caches = []

        def branch(name: str) -> Branch:
            def apply(hidden: Tensor) -> Tensor:
                result = getattr(self, name)(hidden, **options[name], training=training)
                if "cache" in options[name]:
                    result, cache = result
                    caches.append(cache)
                for end in getattr(self, f"{name}_ends"):
                    result = end(result, training=training)
                return result

            return apply

        branches = [branch(name) for name in self._parts()]
        hidden = RESIDUALS[self.residual](hidden, branches, self.norms)
        return (hidden, *caches) if caches else hidden

    def compute_output_spec(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cross_attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        position_bias: Tensor | None = None,
        cache: Cache | None = None,
        start: Any = 0,
        training: bool = False,
        mask: Tensor | None = None,
        hidden_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Any:
        """Return what a call will return, without computing it."""
        masks = (
            merge_masks(attention_mask, mask if hidden_mask is None else hidden_mask),
            merge_masks(cross_attention_mask, context_mask),
        )
        options = self._options(masks, context, document_ids, position_bias, cache, start)
        specs = [  # of what checks the options that it is called with
            part.compute_output_spec(hidden, **options[name])
            for name, part in self._parts().items()
            if options[name]
        ]
        output = keras.KerasTensor(hidden.shape, dtype=self.compute_dtype)
        return output if cache is None else (output, specs[0][1])

    def compute_output_shape(self, hidden_shape: Shape) -> Shape:
        """Return the shape of the hidden states."""
        return hidden_shape

    def _parts(self) -> dict[str, keras.layers.Layer]:
        """Return what the branches compute, in order."""
        names = ("attention", "cross_attention", "feed_forward")
        return {name: part for name in names if (part := getattr(self, name)) is not None}

    def _options(
        self,
        masks: tuple[Tensor | None, Tensor | None],
        context: Tensor | None,
        document_ids: Tensor | None,
        position_bias: Tensor | None,
        cache: Cache | None,
        start: Any,
    ) -> dict[str, dict[str, Any]]:
        """Return what each part is called with: only what is given, for it may take no more."""
        self._check_context(context, masks[1])
        inside = {
            "mask": masks[0],
            "document_ids": document_ids,
            "position_bias": position_bias,
            "cache": cache,
            "start": None if cache is None else start,
        }
        options = {
            "attention": inside,
            "cross_attention": {"context": context, "mask": masks[1]},
            "feed_forward": {},
        }
        given = {
            name: {option: value for option, value in options[name].items() if value is not None}
            for name in self._parts()
        }
        for name, part in self._parts().items():
            check_options(name, part, given[name])
        return given

    def _check_context(self, context: Any, mask: Tensor | None = None) -> None:
        """Require a context exactly where there is an attention to it."""
        if context is None and self.cross_attention is not None:
            raise ValueError(
                "`context` must be what `cross_attention` attends to. Received: context=None"
            )
        for name, value in {"context": context, "context_mask": mask}.items():
            if value is not None and self.cross_attention is None:
                shape = tuple(getattr(value, "shape", value))
                raise ValueError(
                    f"`{name}` must be None unless the block has a `cross_attention`. "
                    f"Received: {name}.shape={shape}"
                )

    def _branch_ends(self, branch: str, **policy: Any) -> list[keras.layers.Layer]:
        """Return what the result of a branch passes through before it is added."""
        ends = []
        if self.residual == "sandwich":
            make_norm = NORMS[self.norm]
            ends.append(make_norm(self.norm_epsilon, name=f"{branch}_out_norm", **policy))
        if self.dropout:
            ends.append(Dropout(self.dropout, **policy))
        if self.layer_scale is not None:
            ends.append(LayerScale(self.layer_scale, name=f"{branch}_scale", **policy))
        if self.stochastic_depth:
            ends.append(StochasticDepth(self.stochastic_depth, **policy))
        return ends
