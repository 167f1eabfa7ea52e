"""A cache holds what fits, whatever `start` is and wherever the layer runs."""

import re

import keras
import numpy as np
import pytest

from kzoo.layers import MultiHeadAttention
from kzoo.layers.attention.cache import update_cache
from tests.arrays import to_numpy
from tests.checks import COMPILERS

B, L, K, H, D = 2, 6, 2, 4, 8
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, 8, D)).astype("float32")
CACHE = {name: random.normal(size=(B, L, K, H)).astype("float32") for name in ("key", "value")}
# The same float32 sums, in another order.
ROUNDING = 1e-5


def fresh(length: int) -> dict:
    return {
        name: random.normal(size=(B, length, K, H)).astype("float32") for name in ("key", "value")
    }


def compiled_update(new: dict, start: int) -> dict:
    """Update the cache where the value of `start` is not known."""

    tensors = {"cache": CACHE, **new, "start": np.array(start, "int32")}
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, tensors)
    if keras.config.backend() == "torch":
        import torch

        class Update(torch.nn.Module):
            def forward(self, **arguments):
                return update_cache(**arguments)

        return COMPILERS["torch"](Update(), tensors)
    return COMPILERS[keras.config.backend()](update_cache, tensors)


@pytest.mark.parametrize("length", [1, 3, L])
@pytest.mark.parametrize("start", [-4, -1, 0, 2, 5, 6, 11])
def test_compiled_updates_never_overwrite(start, length):
    new = fresh(length)
    updated = compiled_update(new, start)
    for name in ("key", "value"):
        expected = CACHE[name].copy()
        for token in range(length):
            if 0 <= start + token < L:
                expected[:, start + token] = new[name][:, token]
        np.testing.assert_array_equal(to_numpy(updated[name]), expected)


def forms(start: int) -> dict:
    """The same number, as users hold it."""
    dtypes = ["int32", "uint8"] + ["int64"] * (keras.config.backend() != "jax")
    tensors = {dtype: keras.ops.convert_to_tensor(start, dtype) for dtype in dtypes}
    numpy = {d.__name__: d(start) for d in (np.int64, np.int32, np.uint8)}
    return {"int": start, **numpy, "array": np.array(start), **tensors}


@pytest.mark.parametrize("form", forms(0))
def test_every_form_of_start_is_the_same_number(form):
    layer = MultiHeadAttention(K, causal=True, window=3)
    expected = to_numpy(layer(HIDDEN[:, :5]))
    _, cache = layer(HIDDEN[:, :4], cache=layer.make_cache(B, L), start=forms(0)[form])
    last, after = layer(HIDDEN[:, 4:5], cache=cache, start=forms(4)[form])
    np.testing.assert_allclose(to_numpy(last), expected[:, 4:], atol=ROUNDING)
    for name in ("key", "value"):
        np.testing.assert_array_equal(to_numpy(after[name])[:, :4], to_numpy(cache[name])[:, :4])


@pytest.mark.parametrize("form", forms(0))
def test_full_cache_is_an_error_in_eager_mode(form):
    layer = MultiHeadAttention(K, causal=True)
    layer.build(HIDDEN.shape)
    cache = layer.make_cache(B, L)
    message = "room for `start` + T tokens; its length is 6. Received: start=5, T=3"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(HIDDEN[:, 5:], cache=cache, start=forms(5)[form])


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (-1, "Received: start=-1, T=2"),
        (np.int64(-1), "Received: start=-1, T=2"),
        (1.0, "`start` must be an integer or a scalar integer tensor. Received: 1.0"),
        (True, "`start` must be an integer or a scalar integer tensor. Received: True"),
        (None, "`start` must be an integer or a scalar integer tensor. Received: None"),
        (np.array([1, 2]), "`start` must be an integer or a scalar integer tensor"),
        (np.array(1.0), "`start` must be an integer or a scalar integer tensor"),
    ],
)
def test_other_starts_are_refused(start, message):
    layer = MultiHeadAttention(K, causal=True)
    layer.build(HIDDEN.shape)
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(HIDDEN[:, :2], cache=layer.make_cache(B, L), start=start)
