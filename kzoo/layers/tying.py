"""Layers that share the table of an embedding.

A variable that is passed to a layer while a functional model is made would be a constant of the
graph: a clone or a loaded model would go on with the variable of the original. So the table of an
embedding enters a graph as what it is, an output of the embedding.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class TiedProjection(keras.layers.Layer):
    """Logits from the table that the tokens were embedded with: h E^T + c. Weight: `bias` (V,).

    The layer owns no copy of the table: it arrives at every call, so there is nothing to keep in
    step and gradients reach the one table from both sides. A functional model ties it by passing
    `embedding.table`, which enters the graph as an output of the embedding: clones and loaded files
    are tied too.

    Args:
        use_bias: Whether to add a bias, c.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        hidden: (B, T, D).
        token_table: (V, D), a tensor or a variable, E. In a functional model a variable must be
            the table of a `TokenEmbedding` or `BertEmbedding` that `hidden` is computed with.

    Call returns:
        Logits (B, T, V).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import TiedProjection, TokenEmbedding
        >>> embedding = TokenEmbedding(vocab_size=10, hidden_dim=4)
        >>> hidden = embedding(np.array([[1, 2, 3]]))
        >>> tuple(TiedProjection()(hidden, embedding.table).shape)
        (1, 3, 10)

    References:
        Press and Wolf, Using the Output Embedding to Improve Language Models, 2017, section 3.
        https://arxiv.org/abs/1608.05859
    """

    def __init__(self, use_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True

    def __call__(self, hidden: Tensor, token_table: Tensor, **kwargs: Any) -> Tensor:
        """Call the layer with the table as part of the graph; see the class."""
        return super().__call__(hidden, table_in_graph(hidden, token_table), **kwargs)

    def build(self, hidden_shape: Shape, token_table_shape: Shape) -> None:
        """Create the bias."""
        self._check_widths(hidden_shape, token_table_shape)
        self.bias = None
        if self.use_bias:
            shape = token_table_shape[:1]
            self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, hidden: Tensor, token_table: Tensor) -> Tensor:
        """Score; see the class."""
        table = keras.ops.cast(token_table, hidden.dtype)
        logits = keras.ops.matmul(hidden, keras.ops.transpose(table))
        return logits if self.bias is None else logits + self.bias

    def compute_output_shape(self, hidden_shape: Shape, token_table_shape: Shape) -> Shape:
        """Return (B, T, V)."""
        self._check_widths(hidden_shape, token_table_shape)
        return (*hidden_shape[:-1], token_table_shape[0])

    @staticmethod
    def _check_widths(hidden_shape: Shape, token_table_shape: Shape) -> None:
        """Require a table as wide as the hidden states."""
        if hidden_shape[-1] != token_table_shape[-1]:
            raise ValueError(
                f"`token_table` must have shape (V, {hidden_shape[-1]}), as wide as `hidden`. "
                f"Received: token_table.shape={tuple(token_table_shape)}"
            )


def table_in_graph(hidden: Tensor, token_table: Tensor) -> Tensor:
    """Return the token table as an output of its embedding where a functional model is made.

    Args:
        hidden: What the layer that shares the table is called with.
        token_table: The table, (V, D).

    Returns:
        A symbolic tensor if `hidden` is one of a graph and `token_table` is a variable. The table
        as it is otherwise.

    Raises:
        ValueError: If the variable is not the table of a kzoo embedding in the graph of `hidden`.
    """
    if not hasattr(hidden, "_keras_history") or not isinstance(token_table, keras.Variable):
        return token_table
    owners = [
        layer
        for layer in _operations(hidden)
        if isinstance(layer, keras.layers.Layer)
        and any(weight is token_table for weight in layer.weights)
    ]
    for layer in owners:
        if "return_table" in inspect.signature(layer.call).parameters:
            # The table depends on no input: any tensor of the graph can be the one of this call.
            return layer(hidden, return_table=True)
    where = f"inside {owners[0].name!r}" if owners else "not in it"
    raise ValueError(
        "`token_table` must be the table of a `TokenEmbedding` or `BertEmbedding` that is itself a "
        "layer of the graph of `hidden`, so that clones and files stay tied. A nested model hides "
        "its layers: continue from its own output, `hidden = backbone.output[...]`, not from "
        f"`backbone(...)`. Received: token_table={token_table.path!r}, which is {where}"
    )


def _operations(tensor: keras.KerasTensor) -> Iterator[keras.Operation]:
    """Yield what a tensor of a graph was computed with, each call once."""
    tensors, seen = [tensor], set()
    while tensors:
        operation, node_index, _ = tensors.pop()._keras_history
        node = operation._inbound_nodes[node_index]
        if node not in seen:
            seen.add(node)
            yield operation
            tensors.extend(node.input_tensors)
