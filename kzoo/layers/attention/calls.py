"""Checks of what attention is called with: each error names the argument and what to do instead."""

from typing import Any

from kzoo.layers.attention.masks import check_mask
from kzoo.layers.types import Tensor


def check_mask_kinds(mask: Tensor | None, implied: Tensor | None) -> Tensor | None:
    """Return the mask that was passed or the one that Keras attached, of which one may be given.

    Args:
        mask: The call argument.
        implied: The mask that a layer attached to what is attended to.

    Returns:
        The mask to use, or None.

    Raises:
        ValueError: If both are given.
    """
    if mask is not None and implied is not None:
        raise ValueError(
            "`mask` must be None when what is attended to carries a mask that a layer such as "
            "`keras.layers.Embedding(mask_zero=True)` attached to it: it is unclear which one is "
            f"meant. Received: mask.shape={tuple(mask.shape)}, attached.shape="
            f"{tuple(implied.shape)}"
        )
    return implied if mask is None else mask


def check_call(
    query: Tensor,
    context: Tensor | None,
    mask: Tensor | None,
    document_ids: Tensor | None,
    cache: Any,
    causal: bool,
    window: int | None,
) -> None:
    """Require call arguments that go together, and with those of the layer.

    Args:
        query: The call argument, as all up to `cache`.
        context: What is attended to, or None.
        mask: The mask that is used, or None.
        document_ids: The documents of the tokens, or None.
        cache: What precedes the query, or None.
        causal: Whether the layer is causal.
        window: How far the layer sees, or None.

    Raises:
        ValueError: If any of them is wrong.
    """
    alone = {"causal": causal, "window": window, "document_ids": document_ids, "cache": cache}
    _check_context(context, **alone)
    _check_cache(cache, causal, document_ids)
    keys = (query if context is None else context) if cache is None else cache["key"]
    _check_masks(mask, document_ids, query.shape[1], keys.shape[1])


def _check_context(context: Tensor | None, **options: Any) -> None:
    """Require a context to come without what has a meaning inside one sequence alone."""
    given = [name for name, option in options.items() if option is not None and option is not False]
    if context is not None and given:
        raise ValueError(
            f"`context` must be None with `{given[0]}`: it compares places in one sequence. "
            f"Received: context.shape={tuple(context.shape)}"
        )


def _check_masks(
    mask: Tensor | None, document_ids: Tensor | None, num_queries: Any, num_keys: Any
) -> None:
    """Require masks of the lengths of what they mask."""
    if mask is not None:
        check_mask(mask)
        lengths = (num_queries, num_keys)[3 - len(mask.shape) :]
        if any(map(_differ, mask.shape[1:], lengths)):
            raise ValueError(
                f"`mask` must have shape (B, S) or (B, T, S), with T={num_queries} and "
                f"S={num_keys}. Received: mask.shape={tuple(mask.shape)}"
            )
    if document_ids is not None:
        shape = tuple(document_ids.shape)
        if len(shape) != 2 or _differ(shape[1], num_queries):
            raise ValueError(
                f"`document_ids` must have shape (B, T), with T={num_queries}. "
                f"Received: document_ids.shape={shape}"
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


def _differ(actual: Any, expected: Any) -> bool:
    """Return whether two sizes are known and different."""
    return isinstance(actual, int) and isinstance(expected, int) and actual != expected
