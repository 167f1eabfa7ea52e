"""The next-sentence head."""

from typing import Any

import keras

from kzoo.arguments import check_positive_numbers
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class NextSentenceHead(keras.layers.Layer):
    """Scores whether the second segment follows the first in the corpus. Sub-layer: `dense`.

    Args:
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        pooled: (B, D), from `Pooler`.

    Call returns:
        Logits (B, 2): 0 is "follows", 1 is "does not".

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import NextSentenceHead
        >>> tuple(NextSentenceHead()(np.ones((3, 8), "float32")).shape)
        (3, 2)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, section 3.1,
        task 2. https://arxiv.org/abs/1810.04805
    """

    output_kind = "class_logits"

    def __init__(self, init_std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(init_std=init_std)
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, pooled_shape: Shape) -> None:
        """Create the dense layer."""
        self.dense = projection(2, self.dtype_policy, self.init_std, name="dense")
        self.dense.build(pooled_shape)

    def call(self, pooled: Tensor) -> Tensor:
        """Score; see the class."""
        return self.dense(pooled)

    def compute_output_shape(self, pooled_shape: Shape) -> Shape:
        """Return (B, 2)."""
        return (pooled_shape[0], 2)
