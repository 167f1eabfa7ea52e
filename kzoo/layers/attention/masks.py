"""Masks, which compose as values, and the additive bias they become.

A mask says which keys each query may attend to: booleans, or integers 0 and 1, that broadcast to
(B, 1, T, S). `combine_masks` keeps what all of them allow, `mask_bias` is what the scores see: -inf
at masked keys in training and serving, a bounded number in a graph to export.

A row whose keys are all masked has the weights of the same row without a mask, in both graphs.
"""

from typing import Any

import keras
import numpy as np

from kzoo.layers.graph import is_static_graph
from kzoo.layers.types import Tensor

SCORE_RANGE = 40.0
"""How far a masked key may score above the best real one of its row in a graph to export.

Where no soft cap says it. Verification notices a model that goes beyond.
"""

MARGIN = 20.0
"""How far a masked key is then still below the best real one: exp(-20) = 2e-9, nothing in float32.

Not more: weights below exp(-87) are denormal numbers, which processors multiply many times more
slowly, and ONNX Runtime is slow for every score that is farther than that below the best one.
"""

_NEW_AXES = {2: (1, 2), 3: (1,), 4: ()}
"""By the rank of a mask, the axes that it lacks to broadcast to (B, 1, T, S)."""


def expand_mask(mask: Tensor) -> Tensor:
    """Give a mask of keys, or of pairs of a query and a key, its four axes.

    Args:
        mask: Boolean or integer, True or 1 for keys that may be attended to: (B, S) for all
            queries alike, or (B, T, S).

    Returns:
        The mask as integers, (B, 1, 1, S) or (B, 1, T, S).
    """
    check_mask(mask)
    # Converters have no kernels that reshape booleans.
    return keras.ops.expand_dims(keras.ops.cast(mask, "int32"), _NEW_AXES[len(mask.shape)])


def causal_mask(num_queries: Any, num_keys: Any, offset: Any = 0) -> Tensor:
    """Let every query attend to itself and to what precedes it.

    Args:
        num_queries: T, an integer or a scalar tensor.
        num_keys: S, an integer or a scalar tensor.
        offset: The place of the first query among the keys.

    Returns:
        (1, 1, T, S): key <= query. A NumPy array in a static graph of known lengths.
    """
    queries, keys = _places(num_queries, num_keys, offset)
    return keys <= queries


def window_mask(num_queries: Any, num_keys: Any, window: int, offset: Any = 0) -> Tensor:
    """Let every query attend to what is fewer than `window` places away, on either side.

    Args:
        num_queries: T, an integer or a scalar tensor.
        num_keys: S, an integer or a scalar tensor.
        window: Number of places a query sees on each side, its own included.
        offset: The place of the first query among the keys.

    Returns:
        (1, 1, T, S): |query - key| < window. A NumPy array in a static graph of known lengths.
    """
    queries, keys = _places(num_queries, num_keys, offset)
    return abs(queries - keys) < window


def document_mask(query_ids: Tensor, key_ids: Tensor) -> Tensor:
    """Let every query attend to the keys of its own document, in sequences packed from several.

    Args:
        query_ids: Integers (B, T), the document each query is in.
        key_ids: Integers (B, S), the document each key is in.

    Returns:
        (B, 1, T, S): key's document == query's document.
    """
    queries = keras.ops.expand_dims(query_ids, (1, 3))
    return keras.ops.equal(queries, keras.ops.expand_dims(key_ids, (1, 2)))


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Allow what every mask allows.

    Args:
        *masks: Masks of four axes; None allows everything.

    Returns:
        The mask, or None if all of them are None.
    """
    given = [mask for mask in masks if mask is not None]
    # Constants first: what is known before the graph is made is no part of it.
    given.sort(key=lambda mask: not isinstance(mask, np.ndarray))
    combined = given[0] if given else None
    for mask in given[1:]:
        known = isinstance(combined, np.ndarray) and isinstance(mask, np.ndarray)
        combined = (np if known else keras.ops).logical_and(combined, mask)
    return combined


def mask_bound(position_range: Any = 0.0, soft_cap: float | None = None) -> Any:
    """Return by how much a masked score is lowered in a graph to export.

    An integer graph gives all scores of a tensor one quantization step. With -1e9 that step is in
    the millions and erases every real score, and -inf has no step at all: the bound is as small as
    the layer allows.

    Args:
        position_range: Largest difference between the biases of one row, see `Position.bias_range`.
        soft_cap: Largest absolute value of a score before biases are added.

    Returns:
        The bound, above 0: a scalar tensor if `position_range` is one. It is 60 for a layer
        without positions or soft cap.
    """
    return MARGIN + (SCORE_RANGE if soft_cap is None else 2 * soft_cap) + position_range


def mask_bias(mask: Tensor, dtype: str, bound: Any = None) -> Tensor:
    """Turn an attention mask into the bias that is added to the scores.

    Args:
        mask: Boolean or integer mask, True or 1 for keys that may be attended to: (B, S) for all
            queries alike, (B, T, S), or four axes that broadcast to (B, 1, T, S).
        dtype: Floating point dtype of the bias.
        bound: By how much masked scores are lowered, a number or a scalar tensor. None lowers them
            to -inf, which is exact if every row has a key that is not masked.

    Returns:
        The bias: (B, 1, 1, S), (B, 1, T, S), or the four axes given; 0 where the mask is True.
    """
    if len(mask.shape) != 4:
        check_mask(mask)
    known = isinstance(mask, np.ndarray)
    if bound is None:
        bias = (np if known else keras.ops).where(mask, 0.0, -np.inf)
    else:
        masked = (mask.astype("float32") if known else keras.ops.cast(mask, "float32")) - 1.0
        # What is known before the graph is made becomes one constant of it.
        both_known = known and isinstance(bound, int | float)
        bias = (np if both_known else keras.ops).multiply(masked, bound)
    bias = keras.ops.cast(bias, dtype)
    axes = _NEW_AXES[len(mask.shape)]
    return keras.ops.expand_dims(bias, axes) if axes else bias


def unmask_empty_rows(mask: Tensor) -> Tensor:
    """Let a row whose keys are all masked attend to all of them, so that its softmax is finite.

    Args:
        mask: Boolean or integer mask, (..., S).

    Returns:
        The mask, with a key in every row.
    """
    empty = keras.ops.logical_not(keras.ops.any(mask, axis=-1, keepdims=True))
    return keras.ops.logical_or(mask, empty)


def check_mask(mask: Tensor, name: str = "mask") -> None:
    """Require a mask of keys, or of pairs of a query and a key, that is not a bias already.

    Args:
        mask: The mask to check.
        name: What the caller knows it by.

    Raises:
        ValueError: If the mask has another rank or floating point values.
    """
    if len(mask.shape) not in (2, 3):
        raise ValueError(
            f"`{name}` must have shape (B, S) or (B, T, S). "
            f"Received: {name}.shape={tuple(mask.shape)}"
        )
    dtype = keras.backend.standardize_dtype(mask.dtype)
    if "float" in dtype:
        raise ValueError(
            f"`{name}` must be boolean or integer, True or 1 for keys that may be attended to, not "
            f"a bias to be added to the scores. Received: {name}.dtype={dtype!r}"
        )


def _places(num_queries: Any, num_keys: Any, offset: Any) -> tuple[Tensor, Tensor]:
    """Return the places of the queries and of the keys, (1, 1, T, 1) and (1, 1, 1, S)."""
    known = all(isinstance(number, int) for number in (num_queries, num_keys, offset))
    # As constants in a graph to export; elsewhere T * S numbers are better made on the device.
    arrays = np if known and is_static_graph() else keras.ops
    # Keras has no dtype of its own for a number that a tracer stands in for.
    queries = arrays.arange(num_queries, dtype="int32") + offset
    keys = arrays.arange(num_keys, dtype="int32")
    return arrays.reshape(queries, (1, 1, -1, 1)), arrays.reshape(keys, (1, 1, 1, -1))
