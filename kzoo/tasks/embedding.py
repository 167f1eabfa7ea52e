"""Texts to vectors."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kzoo import layers
from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.serialization import serializable
from kzoo.models.backbone import OnBackbone
from kzoo.models.sentences import SentenceDense, SentenceSettings
from kzoo.tasks.prediction import predict_rows

_LENGTH = 128


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
class SentenceEncoder(OnBackbone, keras.Model):
    """Sentences to vectors: the hidden states of a backbone, pooled and normalized.

    By default as the folder says that the backbone was loaded from, where it is one of
    sentence-transformers, else the mean over real tokens, scaled to length 1. Shares the layers of
    the backbone, all but the pooler, which it does not use: every weight it has takes part in the
    result. The inputs are the backbone's, the output is `embedding` (B, E), E = D without a dense
    layer.

    Args:
        backbone: A backbone with the output `hidden`.
        pooling: `"mean"` over real tokens, `"cls"`, the first token, or `"max"` over real tokens.
            None takes everything from the folder, and leaves the other settings no choice. It must
            be given where the folder asks for what is not implemented.
        normalize: Whether vectors are scaled to length 1.
        dense: A layer between pooling and normalization, such as `keras.layers.Dense`.
        max_length: Most tokens that `encode` takes of a text by default: 128, or the model's
            longest, where None.
        name: Name of the model.

    Raises:
        ValueError: If the backbone has no input `padding_mask` or no output `hidden`, or the
            arguments do not fit.

    Example:
        >>> import kzoo
        >>> encoder = kzoo.tasks.SentenceEncoder(kzoo.load("minilm_l6_v2"))
        >>> encoder.encode(["A text.", "Another."]).shape
        (2, 384)

    References:
        Reimers and Gurevych, Sentence-BERT, https://arxiv.org/abs/1908.10084, section 3.
    """

    def __init__(
        self,
        backbone: keras.Model,
        pooling: str | None = None,
        normalize: bool = True,
        dense: keras.layers.Layer | None = None,
        max_length: int | None = None,
        name: str | None = None,
    ) -> None:
        inputs: Any = getattr(backbone, "input", None)
        outputs: Any = getattr(backbone, "output", None)
        named = isinstance(inputs, dict) and isinstance(outputs, dict)
        known = named and "padding_mask" in inputs and "hidden" in outputs
        if not (known and hasattr(backbone, "config")):
            raise ValueError(
                "`backbone` must be a backbone of kzoo, with the input `padding_mask` and the "
                f"output `hidden`. Received: backbone of type {type(backbone).__name__}"
            )
        if pooling is None:
            settings = _settings_of(backbone, normalize, dense, max_length)
            dense = _dense_of(settings, backbone.dtype_policy)
        else:
            settings = SentenceSettings(pooling, normalize, max_length, has_dense=dense is not None)

        policy = backbone.dtype_policy
        pool = _POOLINGS[settings.pooling](dtype=policy, name="pooling")
        embedding = pool(outputs["hidden"], inputs["padding_mask"])
        if dense is not None:
            embedding = dense(embedding)
        if settings.normalize:
            embedding = UnitNorm(dtype=policy, name="unit_norm")(embedding)
        super().__init__(inputs=inputs, outputs={"embedding": embedding}, name=name)
        if settings.dense is not None:
            _assign(dense, settings.dense)

        self.adopt(backbone, _without_pooler(backbone.config))
        self.settings = dataclasses.replace(settings, dense=None)  # its weights are the layer's
        self.dense = dense

    @property
    def sentence(self) -> SentenceSettings:
        """The settings with the dense layer's weights of now, as `save_huggingface` writes them."""
        if self.dense is None:
            return self.settings
        return dataclasses.replace(self.settings, dense=_weights_of(self.dense))

    def encode(
        self, texts: Sequence[str], batch_size: int = 32, length: int | None = None
    ) -> np.ndarray:
        """Turn texts into vectors.

        Texts of similar length share a batch, padded to one of a few shapes, so that compiled
        backends compile few programs.

        Args:
            texts: The texts, N of them.
            batch_size: Most texts in a batch.
            length: Most tokens of a text; what is longer is truncated. By default `max_length`.

        Returns:
            float32 (N, E), in the order of the texts.

        Raises:
            ValueError: If the model has no tokenizer, or an argument is not of its kind.
        """
        if self.tokenizer is None:
            raise ValueError("`encode` needs a tokenizer: set `encoder.tokenizer`.")
        check_positive_integers(batch_size=batch_size)
        if length is None:
            length = min(self.settings.max_length or _LENGTH, self.config.max_length)
        if length > self.config.max_length:
            raise ValueError(
                f"`length` must be at most {self.config.max_length}, the model's longest. "
                f"Received: length={length}"
            )
        if not len(texts):
            return np.zeros((0, self.output["embedding"].shape[-1]), "float32")
        inputs = self.tokenizer(texts, length=length)
        return predict_rows(self, "embedding", inputs, batch_size)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The serialized backbone and dense layer, as Keras writes any object, and the rest.
        """
        dense = self.dense and keras.saving.serialize_keras_object(self.dense)
        return {
            "backbone": self.serialize_backbone(),
            "pooling": self.settings.pooling,
            "normalize": self.settings.normalize,
            "dense": dense,
            "max_length": self.settings.max_length,
            "name": self.name,
        }


_POOLINGS: dict[str, type[keras.layers.Layer]] = {
    "mean": layers.MeanPooling,
    "cls": layers.FirstPooling,
    "max": layers.MaxPooling,
}


def _settings_of(
    backbone: Any, normalize: bool, dense: Any, max_length: int | None
) -> SentenceSettings:
    """Take the settings of the backbone's folder, with which no argument may compete."""
    settings: SentenceSettings | None = getattr(backbone, "sentence", None)
    if settings is None:
        if dense is not None:
            raise ValueError("`pooling` must be given with `dense`. Received: pooling=None")
        return SentenceSettings("mean", normalize, max_length)
    if settings.refusal is not None:
        raise ValueError(
            f"`pooling` must be given: the folder's own cannot be used. {settings.refusal}"
        )
    if not normalize or dense is not None or max_length is not None:
        raise ValueError(
            "`pooling` must be given with `normalize`, `dense` and `max_length`: without it, the "
            "folder of the backbone has its say. Received: pooling=None, "
            f"normalize={normalize!r}, dense={dense!r}, max_length={max_length!r}"
        )
    if settings.has_dense and settings.dense is None:
        raise ValueError(
            "`backbone` must be loaded from its folder: its `.keras` file does not have the dense "
            f"layer of the vectors. Received: backbone {backbone.name!r}, pooling=None"
        )
    return settings


def _dense_of(settings: SentenceSettings, policy: Any) -> keras.layers.Layer | None:
    """Make the dense layer of a folder, its weights still new."""
    if settings.dense is None:
        return None
    return keras.layers.Dense(
        settings.dense.kernel.shape[1],
        activation=settings.dense.activation,
        use_bias=settings.dense.bias is not None,
        dtype=policy,
        name="dense",
    )


def _assign(layer: Any, weights: SentenceDense) -> None:
    layer.set_weights([array for array in (weights.kernel, weights.bias) if array is not None])


def _weights_of(layer: Any) -> SentenceDense:
    """Take the weights of a dense layer."""
    if not isinstance(layer, keras.layers.Dense):
        raise ValueError(
            "`dense` must be a `keras.layers.Dense` for a folder of sentence-transformers. "
            f"Received: dense of type {type(layer).__name__}"
        )
    kernel, *bias = layer.get_weights()
    activation = keras.activations.serialize(layer.activation)
    return SentenceDense(kernel, bias[0] if bias else None, str(activation))


def _without_pooler(config: Any) -> Any:
    """Return the sizes of the layers that are used."""
    has = any(field.name == "pooler" for field in dataclasses.fields(config))
    return dataclasses.replace(config, pooler=False) if has else config
