"""Texts to vectors."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

import keras
import numpy as np

from kzoo import layers
from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.serialization import serializable
from kzoo.models.backbone import ReadsText

_LENGTH = 128
_SHORTEST = 16


@serializable
class UnitNorm(keras.layers.Layer):
    """Scales each vector to length 1: x * rsqrt(max(sum(x * x), epsilon)).

    Computed in at least float32.

    Args:
        epsilon: Least squared length, so that a zero vector stays zero. Representable in float16.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Vectors (..., D).

    Call returns:
        Vectors (..., D).

    Example:
        >>> import numpy as np
        >>> UnitNorm()(np.array([[3.0, 4.0]], "float32"))  # doctest: +SKIP
        [[0.6, 0.8]]
    """

    output_kind = "embedding"

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_numbers(epsilon=epsilon)
        self.epsilon = epsilon
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Scale; see the class."""
        x = keras.ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        square = keras.ops.sum(x * x, axis=-1, keepdims=True)
        x = x * keras.ops.rsqrt(keras.ops.maximum(square, self.epsilon))
        return keras.ops.cast(x, inputs.dtype)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return inputs_shape


@keras.saving.register_keras_serializable("kzoo")
class SentenceEncoder(ReadsText, keras.Model):
    """Sentences to vectors of length 1: the mean of the hidden states at real tokens, normalized.

    Shares the layers of the backbone, all but the pooler, which it does not use: every weight it
    has takes part in the result. The inputs are the backbone's, the output is `embedding` (B, D).

    Args:
        backbone: A backbone with the output `hidden`.
        name: Name of the model.

    Raises:
        ValueError: If the backbone has no input `padding_mask` or no output `hidden`.

    Example:
        >>> import kzoo
        >>> encoder = kzoo.tasks.SentenceEncoder(kzoo.load("minilm_l6_v2"))
        >>> encoder.encode(["A text.", "Another."]).shape
        (2, 384)

    References:
        Reimers and Gurevych, Sentence-BERT, https://arxiv.org/abs/1908.10084, section 3.
    """

    def __init__(self, backbone: keras.Model, name: str | None = None) -> None:
        inputs: Any = getattr(backbone, "input", None)
        outputs: Any = getattr(backbone, "output", None)
        named = isinstance(inputs, dict) and isinstance(outputs, dict)
        known = named and "padding_mask" in inputs and "hidden" in outputs
        if not (known and hasattr(backbone, "config")):
            raise ValueError(
                "`backbone` must be a backbone of kzoo, with the input `padding_mask` and the "
                f"output `hidden`. Received: backbone of type {type(backbone).__name__}"
            )
        # Layers
        policy = backbone.dtype_policy
        pooling = layers.MeanPooling(dtype=policy, name="pooling")
        unit_norm = UnitNorm(dtype=policy, name="unit_norm")

        # Graph
        embedding = unit_norm(pooling(outputs["hidden"], inputs["padding_mask"]))
        super().__init__(inputs=inputs, outputs={"embedding": embedding}, name=name)

        # Config
        self.config = dataclasses.replace(backbone.config, pooler=False)
        self.dtype_policy = policy
        self.tokenizer = backbone.tokenizer
        # Called when the model is saved: serializing is slow, and few models are saved.
        self._serialize_backbone = partial(keras.saving.serialize_keras_object, backbone)

    def encode(
        self, texts: Sequence[str], batch_size: int = 32, length: int | None = None
    ) -> np.ndarray:
        """Turn texts into vectors.

        Texts of similar length share a batch, padded to one of a few shapes, so that compiled
        backends compile few programs.

        Args:
            texts: The texts, N of them.
            batch_size: Most texts in a batch.
            length: Most tokens of a text; what is longer is truncated. By default 128, or the
                model's longest.

        Returns:
            float32 (N, D), in the order of the texts.

        Raises:
            ValueError: If the model has no tokenizer, or an argument is not of its kind.
        """
        if self.tokenizer is None:
            raise ValueError("`encode` needs a tokenizer: set `encoder.tokenizer`.")
        check_positive_integers(batch_size=batch_size)
        if length is None:
            length = min(_LENGTH, self.config.max_length)
        if length > self.config.max_length:
            raise ValueError(
                f"`length` must be at most {self.config.max_length}, the model's longest. "
                f"Received: length={length}"
            )
        vectors = np.zeros((len(texts), self.config.hidden_dim), "float32")
        if not len(texts):
            return vectors
        inputs = self.tokenizer(texts, length=length)
        for rows, width in _batches(inputs["padding_mask"].sum(axis=1), batch_size, length):
            size = min(_power_of_two(len(rows)), batch_size)
            padded = np.resize(rows, size)
            batch = {name: array[padded, :width] for name, array in inputs.items()}
            vectors[rows] = self.predict_on_batch(batch)["embedding"][: len(rows)]
        return vectors

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The serialized backbone, as Keras writes any object, and the name.
        """
        return {"backbone": self._serialize_backbone(), "name": self.name}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Build the model that `get_config` described.

        Args:
            config: The result of `get_config`.
            custom_objects: Classes by registered name, besides the registered ones.

        Returns:
            The model, with new weights.
        """
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        return cls(**{**config, "backbone": backbone})


def _batches(
    lengths: np.ndarray, batch_size: int, longest: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield rows of similar length, and the width that holds them."""
    widths = np.array([max(_SHORTEST, _power_of_two(int(length))) for length in lengths])
    widths = np.minimum(widths, longest)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(width)


def _power_of_two(count: int) -> int:
    """Return the least power of two that is not below `count`."""
    return 1 << (count - 1).bit_length()
