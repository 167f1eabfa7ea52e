"""Patches of images."""

import numpy as np
import pytest

from kzoo.layers import PatchEmbedding
from tests.arrays import to_numpy

IMAGES = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype("float32")


@pytest.mark.once
def test_patch_embedding_equals_convolution():
    import torch

    layer = PatchEmbedding(patch_size=4, hidden_dim=5)
    ours = to_numpy(layer(IMAGES))
    kernel, bias = (torch.from_numpy(to_numpy(weight).copy()) for weight in layer.weights)
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(IMAGES).permute(0, 3, 1, 2),
        kernel.reshape(4, 4, 3, 5).permute(3, 2, 0, 1),
        bias,
        stride=4,
    )
    np.testing.assert_allclose(ours, theirs.flatten(2).mT.numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 8, 12, 3), (1, 4, 4, 3)])
def test_empty_batches_and_single_patches(shape):
    output = PatchEmbedding(patch_size=4, hidden_dim=5)(np.ones(shape, "float32"))
    assert output.shape == (shape[0], shape[1] * shape[2] // 16, 5)


def test_patches_must_fill_the_image():
    layer = PatchEmbedding(patch_size=5, hidden_dim=4)
    message = r"`patch_size` must divide the height and width .*patch_size=5.*8, 12, 3"
    with pytest.raises(ValueError, match=message):
        layer(IMAGES)
    layer(np.ones((1, 5, 10, 3), "float32"))
    with pytest.raises(ValueError, match=message):
        layer(IMAGES)
