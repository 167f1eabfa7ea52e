"""Attention as pure functions: the one place that picks a kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras

from kzoo.layers.types import Tensor

_STATIC_GRAPH = ContextVar("static_graph", default=False)


@contextmanager
def static_graph() -> Iterator[None]:
    """Compute with the plain graph that converters recognise, for as long as the context lasts.

    Outside of it attention runs in the backend's fused kernel, which is what training and serving
    want. Both give the same numbers.

    Example:
        >>> import kzoo
        >>> with kzoo.layers.static_graph():
        ...     pass  # call, trace or export the model here

    Yields:
        Nothing.
    """
    token = _STATIC_GRAPH.set(True)
    try:
        yield
    finally:
        _STATIC_GRAPH.reset(token)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H) + bias) V.

    Args:
        query: (B, T, N, H).
        key: (B, S, N, H).
        value: (B, S, N, H).
        bias: Added to the scores; broadcasts to (B, N, T, S).
        dropout: Applied to the attention weights (B, N, T, S). No fused kernel offers this, so it
            asks for the plain graph.

    Returns:
        The attended values, (B, T, N, H).
    """
    if dropout is None and not _STATIC_GRAPH.get():
        return keras.ops.dot_product_attention(query, key, value, bias=bias)
    return _plain_attention(query, key, value, bias, dropout)


def _plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    dropout: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Compute `attention` with two batched matrix products and a softmax."""
    query = keras.ops.transpose(query, (0, 2, 1, 3))  # (B, N, T, H)
    key = keras.ops.transpose(key, (0, 2, 3, 1))  # (B, N, H, S)
    value = keras.ops.transpose(value, (0, 2, 1, 3))  # (B, N, S, H)
    scores = keras.ops.matmul(query * query.shape[-1] ** -0.5, key)  # (B, N, T, S)
    # Bias and softmax in at least float32, as in the fused kernels: beside a bias of -100 half
    # precision would round away the scores of a row that is masked everywhere.
    precise = keras.backend.result_type(scores.dtype, "float32")
    scores = keras.ops.cast(scores, precise)
    if bias is not None:
        scores = scores + keras.ops.cast(bias, precise)
    weights = keras.ops.cast(keras.ops.softmax(scores, axis=-1), value.dtype)
    if dropout is not None:
        weights = dropout(weights)
    return keras.ops.transpose(keras.ops.matmul(weights, value), (0, 2, 1, 3))
