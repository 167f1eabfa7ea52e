"""Attention as pure functions: the one place that picks a kernel."""

from collections.abc import Callable

import keras

from kzoo.layers.attention.masks import causal_mask, mask_bias
from kzoo.layers.graph import is_static_graph
from kzoo.layers.types import Tensor


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    *,
    is_causal: bool = False,
    soft_cap: float | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
    return_scores: bool = False,
) -> Tensor:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H) + bias) V.

    Each of the K heads of the keys and values serves N / K heads of the queries that follow each
    other. What no fused kernel offers (`soft_cap`, `dropout`, `return_scores`) asks for the plain
    graph.

    Args:
        query: (B, T, N, H).
        key: (B, S, K, H), K divides N.
        value: (B, S, K, H).
        bias: Added to the scores; broadcasts to (B, N, T, S).
        is_causal: Whether query t attends to the keys up to t alone.
        soft_cap: Largest size of a score, c: before the bias is added, x becomes c tanh(x / c).
        dropout: Applied to the attention weights (B, N, T, S).
        return_scores: Whether to return the attention weights too.

    Returns:
        The attended values, (B, T, N, H); with `return_scores` a pair of them and of the weights
        before dropout, (B, N, T, S).
    """
    special = soft_cap is not None or dropout is not None or return_scores
    fused = _has_fused_kernel() and not special and not is_static_graph()
    if is_causal and (bias is not None or not fused):
        future = mask_bias(causal_mask(_size(query, 1), _size(key, 1)), query.dtype)
        bias, is_causal = future if bias is None else bias + future, False
    if fused:
        return keras.ops.dot_product_attention(query, key, value, bias=bias, is_causal=is_causal)
    attended, weights = _plain_attention(query, key, value, bias, soft_cap, dropout)
    return (attended, weights) if return_scores else attended


def _has_fused_kernel() -> bool:
    """Return whether the backend has more to offer than the plain graph.

    TensorFlow has not: what it calls so scales T x S scores instead of T x H queries, and knows of
    no heads that share keys.
    """
    return keras.config.backend() != "tensorflow"


def _plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    soft_cap: float | None,
    dropout: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Compute `attention` with two batched matrix products and a softmax."""
    num_heads, num_kv_heads = query.shape[2], key.shape[2]
    query = keras.ops.transpose(query, (0, 2, 1, 3))  # (B, N, T, H)
    key = keras.ops.transpose(key, (0, 2, 3, 1))  # (B, K, H, S)
    value = keras.ops.transpose(value, (0, 2, 1, 3))  # (B, K, S, H)
    query = _regroup(query * query.shape[-1] ** -0.5, num_kv_heads)  # (B, K, N / K * T, H)
    scores = _regroup(keras.ops.matmul(query, key), num_heads)  # (B, N, T, S)
    weights = keras.ops.cast(_softmax(scores, bias, soft_cap), value.dtype)
    dropped = weights if dropout is None else dropout(weights)
    attended = _regroup(keras.ops.matmul(_regroup(dropped, num_kv_heads), value), num_heads)
    return keras.ops.transpose(attended, (0, 2, 1, 3)), weights


def _softmax(scores: Tensor, bias: Tensor | None, soft_cap: float | None) -> Tensor:
    """Return the weights of the keys, in at least float32, as in the fused kernels.

    Beside a bias of -100 half precision would round away the scores of a row that is masked
    everywhere.
    """
    scores = keras.ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    if soft_cap is not None:
        scores = soft_cap * keras.ops.tanh(scores / soft_cap)
    if bias is not None:
        scores = scores + keras.ops.cast(bias, scores.dtype)
    if scores.shape[-1] == 1:  # All the weight is on the only key.
        return keras.ops.ones_like(scores)
    return keras.ops.softmax(scores, axis=-1)


def _regroup(tensor: Tensor, groups: int) -> Tensor:
    """Move heads between axes 1 and 2, (B, N, T, any) and (B, K, N / K * T, any), copying none."""
    if tensor.shape[1] == groups:
        return tensor
    length = _size(tensor, 2)
    length = length * tensor.shape[1] // groups
    return keras.ops.reshape(tensor, (-1, groups, length, _size(tensor, 3)))


def _size(tensor: Tensor, axis: int) -> Tensor:
    """Return the size of an axis: an integer where it is known."""
    return keras.ops.shape(tensor)[axis]
