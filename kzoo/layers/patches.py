"""From an image to the hidden states that enter the first block."""

from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers
from kzoo.layers.projection import projection
from kzoo.layers.serialization import serializable
from kzoo.layers.types import Shape, Tensor


@serializable
class PatchEmbedding(keras.layers.Layer):
    """A dense layer on each square patch of an image, the patches row by row. Sub-layer: `dense`.

    The same as a convolution whose stride is the width of its kernel, which reshapes to that of
    `dense`; as a matrix product it is quantized like the rest of a transformer.

    Args:
        patch_size: Height and width of a patch, p; divides those of the image.
        hidden_dim: Width of the result, D.
        use_bias: Whether a bias is added.
        init_std: Standard deviation of the initial kernel.
        **kwargs: `name`, `dtype` and `trainable`, as for any Keras layer.

    Call arguments:
        images: (B, height, width, C).

    Call returns:
        (B, height / p * width / p, D).

    Example:
        >>> import numpy as np
        >>> from kzoo.layers import PatchEmbedding
        >>> images = np.ones((2, 32, 16, 3), "float32")
        >>> tuple(PatchEmbedding(patch_size=8, hidden_dim=4)(images).shape)
        (2, 8, 4)

    References:
        Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, equation 1.
        https://arxiv.org/abs/2010.11929
    """

    def __init__(
        self,
        patch_size: int,
        hidden_dim: int,
        use_bias: bool = True,
        init_std: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(patch_size=patch_size, hidden_dim=hidden_dim)
        check_positive_numbers(init_std=init_std)
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.use_bias = use_bias
        self.init_std = init_std
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, images_shape: Shape) -> None:
        """Create the dense layer."""
        num_patches = self._num_patches(images_shape)
        self.dense = projection(
            self.hidden_dim, self.dtype_policy, self.init_std, "dense", self.use_bias
        )
        self.dense.build((images_shape[0], num_patches, self.patch_size**2 * images_shape[-1]))

    def call(self, images: Tensor) -> Tensor:
        """Embed; see the class."""
        self._num_patches(images.shape)
        size, channels = self.patch_size, images.shape[-1]
        _, height, width, _ = keras.ops.shape(images)
        rows, columns = height // size, width // size
        # No more than four axes at a time: that is what runtimes transpose fast.
        strips = keras.ops.reshape(images, (-1, size, columns, size * channels))
        patches = keras.ops.transpose(strips, (0, 2, 1, 3))  # (B * rows, columns, p, p * C)
        patches = keras.ops.reshape(patches, (-1, rows * columns, size * size * channels))
        return self.dense(patches)

    def compute_output_shape(self, images_shape: Shape) -> Shape:
        """Return (B, number of patches, D)."""
        return (images_shape[0], self._num_patches(images_shape), self.hidden_dim)

    def _num_patches(self, images_shape: Shape) -> int | None:
        """Return the number of patches, where it is known, of an image that they fill."""
        sizes = images_shape[1:3]
        if any(isinstance(size, int) and size % self.patch_size for size in sizes):
            raise ValueError(
                f"`patch_size` must divide the height and width of the images. Received: "
                f"patch_size={self.patch_size}, images.shape={tuple(images_shape)}"
            )
        if any(size is None for size in sizes):
            return None
        return sizes[0] // self.patch_size * (sizes[1] // self.patch_size)
