"""Checks of what attention is called with: each error names the argument and what to do instead."""

from collections.abc import Iterable, Mapping
from typing import Any

from kzoo.arguments import (
    check_positive_integers,
    check_positive_numbers,
    check_rates,
    check_shape,
    differ,
)
from kzoo.layers.attention.masks import check_mask
from kzoo.layers.composition import check_layers, check_methods
from kzoo.layers.types import Tensor


def check_arguments(layer: Any) -> None:
    """Require constructor arguments of attention that it can compute with.

    Args:
        layer: The layer, with its arguments as attributes.

    Raises:
        ValueError: If any of them is wrong.
    """
    integers, numbers = ("num_kv_heads", "head_dim", "window"), ("score_scale", "soft_cap")
    check_positive_integers(num_heads=layer.num_heads, **_given(layer, integers))
    check_positive_numbers(**_given(layer, numbers), init_std=layer.init_std)
    check_rates(dropout=layer.dropout)
    if layer.num_heads % (layer.num_kv_heads or layer.num_heads):
        raise ValueError(
            f"`num_kv_heads` must divide `num_heads`, {layer.num_heads}. "
            f"Received: num_kv_heads={layer.num_kv_heads}"
        )
    if layer.position is not None:
        check_layers(layer, position=layer.position)
        check_methods(("rotate", "bias", "bias_range"), position=layer.position)


def masks_of_call(
    context: Tensor | None,
    attention_mask: Tensor | None,
    mask: Tensor | None,
    query_mask: Tensor | None,
    context_mask: Tensor | None,
) -> dict[str, Tensor | None]:
    """Return the masks of what is attended to.

    Args:
        context: What is attended to; None for the query itself.
        attention_mask: The mask of the call.
        mask: What Keras attached to the query, if that is the only tensor of the call.
        query_mask: What Keras attached to the query, if there are others.
        context_mask: What Keras attached to the context.

    Returns:
        The mask of the call and the one that is attached, by the names users know them by.
    """
    if context is None:
        attached = mask if query_mask is None else query_mask
    else:  # Keras passes no `mask` beside a context: it is that of a call without `__call__`.
        attention_mask = mask if attention_mask is None else attention_mask
        attached = context_mask
    return {"mask": attention_mask, "mask attached by Keras": attached}


def check_call(
    query: Tensor,
    context: Tensor | None,
    masks: Mapping[str, Tensor | None],
    document_ids: Tensor | None,
    position_bias: Tensor | None,
    cache: Any,
    layer: Any,
) -> None:
    """Require call arguments that go together, and with those of the layer.

    Args:
        query: The call argument, as all up to `cache`.
        context: What is attended to, or None.
        masks: The masks of what is attended to, by name.
        document_ids: The documents of the tokens, or None.
        position_bias: What is added to the scores, or None.
        cache: What precedes the query, or None.
        layer: The layer: its `causal`, `window` and `num_heads` are looked at.

    Raises:
        ValueError: If any of them is wrong.
    """
    alone = {"causal": layer.causal, "window": layer.window, "document_ids": document_ids}
    _check_context(context, query.shape[0], **alone, cache=cache)
    _check_cache(cache, layer.causal, document_ids)
    keys = (query if context is None else context) if cache is None else cache["key"]
    sizes = {"B": query.shape[0], "T": query.shape[1], "S": keys.shape[1]}
    for name, mask in masks.items():
        if mask is not None:
            check_mask(mask, name)
            check_shape(name, mask.shape, ("BS", "BTS"), sizes)
    if document_ids is not None:
        check_shape("document_ids", document_ids.shape, ("BT",), sizes)
    if position_bias is not None:
        shape = tuple(position_bias.shape)
        heads = 1 if shape[1:2] == (1,) else layer.num_heads  # one bias serves all heads
        check_shape("position_bias", shape, ("BNTS",), {**sizes, "N": heads})


def _given(layer: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return the arguments that are not None."""
    values = {name: getattr(layer, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _check_context(context: Tensor | None, batch_size: Any, **options: Any) -> None:
    """Require a context to come without what has a meaning inside one sequence alone."""
    if context is None:
        return
    if differ(context.shape[0], batch_size):
        raise ValueError(
            f"`context` must have the batch size of `query`, {batch_size}. "
            f"Received: context.shape={tuple(context.shape)}"
        )
    given = [name for name, option in options.items() if option is not None and option is not False]
    if given:
        raise ValueError(
            f"`context` must be None with `{given[0]}`: it compares places in one sequence. "
            f"Received: context.shape={tuple(context.shape)}"
        )


def _check_cache(cache: Any, causal: bool, document_ids: Tensor | None) -> None:
    """Require a cache to be one, and to be used where it gives what a full pass gives."""
    if cache is None:
        return
    if not isinstance(cache, dict) or set(cache) != {"key", "value"}:
        raise ValueError(
            f"`cache` must be what `make_cache` or the last call returned. Received: cache={cache}"
        )
    if not causal:
        raise ValueError(
            "`cache` must be None unless the layer is causal: without, the first tokens would "
            "attend to those that are not decoded yet. Received: causal=False"
        )
    if document_ids is not None:
        raise ValueError(
            "`document_ids` must be None with a `cache`, which holds one document. "
            f"Received: document_ids.shape={tuple(document_ids.shape)}"
        )
