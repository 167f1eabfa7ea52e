"""Attention as pure functions: the one place that picks a kernel."""

from collections.abc import Callable

import keras

from kzoo.layers.attention.masks import causal_mask, mask_bias, mask_bound
from kzoo.layers.graph import is_static_graph
from kzoo.layers.types import Tensor


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    soft_cap: float | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
    return_scores: bool = False,
) -> Tensor:
    """Scaled dot-product attention, softmax(scale Q K^T + bias) V.

    Each of the K heads of the keys and values serves N / K heads of the queries that follow each
    other. What no fused kernel offers (`soft_cap`, `dropout`, `return_scores`) asks for the plain
    graph.

    Args:
        query: (B, T, N, H).
        key: (B, S, K, H), K divides N.
        value: (B, S, K, H).
        bias: Added to the scores; broadcasts to (B, N, T, S).
        is_causal: Whether query t attends to the keys up to t alone; without a bias.
        scale: What the products of queries and keys are multiplied by. None is 1 / sqrt(H).
        soft_cap: Largest size of a score, c: before the bias is added, x becomes c tanh(x / c).
        dropout: Applied to the attention weights (B, N, T, S).
        return_scores: Whether to return the attention weights too.

    Returns:
        The attended values, (B, T, N, H); with `return_scores` a pair of them and of the weights
        before dropout, (B, N, T, S).
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    special = soft_cap is not None or dropout is not None or return_scores
    kernel = None if special or is_static_graph() else _KERNELS.get(keras.config.backend())
    if is_causal and kernel is None:
        bias = _hidden_future(query, key, soft_cap)
    if kernel is not None:
        return kernel(query, key, value, bias, is_causal, scale)
    weights = _weights(query, key, bias, scale, soft_cap)
    attended = _attend(weights if dropout is None else dropout(weights), value)
    return (attended, weights) if return_scores else attended


def _jax_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, is_causal: bool, scale: float
) -> Tensor:
    """Compute `attention` in the accelerator's kernel, or as XLA does best on a CPU.

    There each pass over T x S numbers costs as much as a product: T x H results are divided by the
    sum of the weights instead. Half precision has no room for results before the division; and
    JAX's kernel has no gradient in float16 there.
    """
    import jax

    if jax.default_backend() != "cpu":
        return keras.ops.dot_product_attention(
            query, key, value, bias=bias, scale=scale, is_causal=is_causal
        )
    bias = _hidden_future(query, key) if is_causal else bias
    if query.dtype != "float32":
        return _attend(_weights(query, key, bias, scale), value)
    scores = _scores(query, key, bias, scale)
    highest = keras.ops.stop_gradient(keras.ops.max(scores, axis=-1, keepdims=True))
    weights = keras.ops.exp(scores - highest)
    total = keras.ops.sum(weights, axis=-1, keepdims=True)  # (B, N, T, 1)
    return _attend(weights, value) / keras.ops.transpose(total, (0, 2, 1, 3))


def _torch_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, is_causal: bool, scale: float
) -> Tensor:
    """Compute `attention` in PyTorch's kernel, which keeps no T x S numbers.

    Keras' way to the same kernel copies queries, keys and values, though the kernel reads them as
    they lie, and repeats the keys and values of heads that share them.
    """
    import torch

    heads = map(keras.ops.convert_to_tensor, (query, key, value))
    query, key, value = (each.transpose(1, 2) for each in heads)
    attended = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if bias is None else keras.ops.cast(bias, query.dtype),
        is_causal=is_causal,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return attended.transpose(1, 2)


# TensorFlow's kernel is slower than the plain graph: it scales T x S scores instead of T x H
# queries, and knows of no heads that share keys.
_KERNELS = {"jax": _jax_attention, "torch": _torch_attention}


def _hidden_future(query: Tensor, key: Tensor, soft_cap: float | None = None) -> Tensor:
    """Return the bias of a causal mask, (1, 1, T, S)."""
    bound = mask_bound(soft_cap=soft_cap) if is_static_graph() else None
    mask = causal_mask(_size(query, 1), _size(key, 1))
    return mask_bias(mask, keras.backend.standardize_dtype(query.dtype), bound)


def _scores(
    query: Tensor, key: Tensor, bias: Tensor | None, scale: float, soft_cap: float | None = None
) -> Tensor:
    """Return what the softmax is of, (B, N, T, S), in at least float32, as in the fused kernels.

    Beside the bound of a masked score half precision would round away the scores of a row that is
    masked everywhere.
    """
    num_heads, num_kv_heads = query.shape[2], key.shape[2]
    query = keras.ops.transpose(query, (0, 2, 1, 3))  # (B, N, T, H)
    key = keras.ops.transpose(key, (0, 2, 3, 1))  # (B, K, H, S)
    query = _regroup(query * scale, num_kv_heads)  # (B, K, N / K * T, H)
    scores = _regroup(keras.ops.matmul(query, key), num_heads)
    scores = keras.ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    if soft_cap is not None:
        scores = soft_cap * keras.ops.tanh(scores / soft_cap)
    return scores if bias is None else scores + keras.ops.cast(bias, scores.dtype)


def _weights(
    query: Tensor, key: Tensor, bias: Tensor | None, scale: float, soft_cap: float | None = None
) -> Tensor:
    """Return the weights of the keys, (B, N, T, S), in the dtype of the queries."""
    scores = _scores(query, key, bias, scale, soft_cap)
    if scores.shape[-1] == 1:  # All the weight is on the only key.
        weights = keras.ops.ones_like(scores)
    else:
        weights = keras.ops.softmax(scores, axis=-1)
    return keras.ops.cast(weights, query.dtype)


def _attend(weights: Tensor, value: Tensor) -> Tensor:
    """Add up values (B, S, K, H) by their weights (B, N, T, S), to (B, T, N, H)."""
    value = keras.ops.transpose(value, (0, 2, 1, 3))  # (B, K, S, H)
    attended = keras.ops.matmul(_regroup(weights, value.shape[1]), value)
    return keras.ops.transpose(_regroup(attended, weights.shape[1]), (0, 2, 1, 3))


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
