"""The models that are exported in `foreign_models`: how each is built and fed.

Weights are random, but the statistics of batch normalization and the last kernel and bias are set
from real images, so that outputs of different images differ. Residual branches are weak.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Samples = np.ndarray | dict[str, np.ndarray]
PHOTOGRAPHS = (
    "astronaut",
    "camera",
    "coffee",
    "coins",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "page",
)


RECIPES = ("float32", "float16", "dynamic_int8")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to export: how it is built, fed and stored."""

    build: Callable[[int], Any]
    samples: Callable[[Any, int], Samples]
    size: int
    toy: int
    recipes: tuple[str, ...] = RECIPES
    has_length: bool = False


def application(name: str) -> Callable[[int], Any]:
    """Build a model of `keras.applications` that tells images apart."""

    def build(size: int) -> Any:
        import keras

        keras.utils.set_random_seed(0)
        make = getattr(keras.applications, name)
        model = make(weights=None, input_shape=(size, size, 3), classifier_activation=None)
        images = photographs(model, size)
        settle(model, images)
        return model

    return build


def settle(model: Any, images: np.ndarray) -> None:
    """Give normalization the statistics of images, and make the outputs of images differ.

    Features of random layers lie along one or two directions, mostly brightness and contrast. The
    last kernel brings these half the way down to the third principal direction, the last bias
    centers.
    """
    import keras

    layers = model._flatten_layers()
    for layer in _ends_of_branches(model):
        layer.gamma.assign(np.full(layer.gamma.shape, 0.1, "float32"))
    for layer in layers:
        for weight in layer.trainable_variables:
            if weight.path.endswith("gamma") and "layer_scale" in weight.path:
                weight.assign(np.full(weight.shape, 0.5, "float32"))
    normalizations = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    if normalizations:
        model(images, training=True)
    last = next(x for x in reversed(model.layers) if getattr(x, "bias", None) is not None)
    features = keras.ops.convert_to_numpy(keras.Model(model.input, last.input)(images))
    features = features.reshape(len(images), -1)
    _, extents, directions = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    excess = 1 - np.sqrt(np.minimum(1, extents[2] / extents))
    kernel = keras.ops.convert_to_numpy(last.kernel)
    flat = kernel.reshape(features.shape[1], -1)
    flat = flat - (directions.T * excess) @ (directions @ flat)
    last.kernel.assign(flat.reshape(kernel.shape))
    last.bias.assign(-features.mean(axis=0) @ flat)


def _ends_of_branches(model: Any) -> Iterator[Any]:
    """Find the normalization at the end of every residual branch.

    Training starts with a scale of zero there (Goyal et al., 2017, section 5.1). With one, a deep
    random network blows a rounding error up until it is as large as the differences of images.
    """
    import keras

    for addition in model.layers:
        if not isinstance(addition, keras.layers.Add):
            continue
        ends = [tensor._keras_history.operation for tensor in _inputs_of(addition)]
        last = max(ends, key=model.layers.index)
        while isinstance(last, keras.layers.Dropout):
            last = _inputs_of(last)[0]._keras_history.operation
        if isinstance(last, keras.layers.BatchNormalization):
            yield last


def _inputs_of(layer: Any) -> list[Any]:
    return list(layer._inbound_nodes[0].input_tensors)


def photographs(model: Any, size: int) -> np.ndarray:
    """Take the middle squares of photographs of scikit-image, in 0..255."""
    import skimage

    squares = []
    for name in PHOTOGRAPHS:
        picture = np.atleast_3d(getattr(skimage.data, name)())[:, :, :3]
        side = min(picture.shape[:2])
        top, left = ((extent - side) // 2 for extent in picture.shape[:2])
        square = picture[top : top + side, left : left + side]
        square = skimage.transform.resize(square, (size, size), preserve_range=True)
        squares.append(np.broadcast_to(square, (size, size, 3)))
    return np.stack(squares).astype("float32")


def vit(size: int) -> Any:
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    small = {"num_layers": 4, "num_heads": 4, "hidden_dim": 128, "mlp_dim": 512}
    large = {"num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    widths = large if size >= 224 else small
    return keras_hub.models.ViTBackbone(
        image_shape=(size, size, 3), patch_size=16, use_mha_bias=True, **widths
    )


def distilbert(size: int) -> Any:
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    return keras_hub.models.DistilBertBackbone(
        vocabulary_size=30522 if size >= 128 else 500,
        num_layers=6 if size >= 128 else 2,
        num_heads=12,
        hidden_dim=768 if size >= 128 else 96,
        intermediate_dim=3072 if size >= 128 else 192,
        max_sequence_length=size,
    )


def whisper(size: int) -> Any:
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    whole = keras_hub.models.WhisperBackbone(
        vocabulary_size=100,
        num_layers=4,
        num_heads=6,
        hidden_dim=384,
        intermediate_dim=1536,
        max_encoder_sequence_length=size,
        max_decoder_sequence_length=16,
    )
    return keras.Model(whole.input["encoder_features"], whole.output["encoder_sequence_output"])


def tokens(model: Any, size: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    lengths = random.integers(size // 4, size + 1, 8)
    mask = np.arange(size) < lengths[:, None]
    ids = np.where(mask, random.integers(1, model.vocabulary_size, mask.shape), 0)
    return {"token_ids": ids.astype("int32"), "padding_mask": mask.astype("int32")}


def frames(model: Any, size: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.standard_normal((4, size, 80)).astype("float32")


TWO = ("float32", "dynamic_int8")
SUBJECTS = {
    "MobileNetV3Small": Subject(application("MobileNetV3Small"), photographs, 224, 64),
    "EfficientNetV2B0": Subject(application("EfficientNetV2B0"), photographs, 224, 64),
    "ResNet50": Subject(application("ResNet50"), photographs, 224, 64),
    "ConvNeXtTiny": Subject(application("ConvNeXtTiny"), photographs, 224, 64),
    "ViT": Subject(vit, photographs, 224, 64, TWO),
    "DistilBERT": Subject(distilbert, tokens, 128, 64, TWO, has_length=True),
    "Whisper encoder": Subject(whisper, frames, 3000, 64, TWO, has_length=True),
}
