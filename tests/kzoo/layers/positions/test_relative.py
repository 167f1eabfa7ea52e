"""Relative biases at their edges."""

from functools import partial

import keras
import numpy as np
import pytest

from kzoo.layers import AlibiBias, MultiHeadAttention, RelativeBias
from kzoo.layers.positions import alibi
from kzoo.layers.positions import relative as implementation
from kzoo.layers.positions.alibi import alibi_slopes
from kzoo.layers.positions.relative import distance_buckets
from tests.arrays import assert_close, to_numpy
from tests.reference import positions as reference

BIASES = (partial(AlibiBias, 2), partial(RelativeBias, 2, 8, 20))


@pytest.mark.once
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    ("num_buckets", "max_distance"), [(32, 128), (16, 128), (6, 9), (4, 50), (64, 2000)]
)
def test_buckets_agree_with_integer_arithmetic(num_buckets, max_distance, bidirectional):
    actual = distance_buckets(num_buckets, max_distance, bidirectional)
    far = range(-max_distance, max_distance + 1)
    arguments = num_buckets, max_distance, bidirectional
    assert actual.tolist() == [reference.relative_bucket(d, *arguments) for d in far]
    assert actual.max() == num_buckets - 1 if bidirectional else actual.max() < num_buckets


@pytest.mark.once
def test_slopes_agree_with_the_paper():
    np.testing.assert_allclose(alibi_slopes(8), [2.0**-i for i in range(1, 9)])
    for num_heads in range(1, 40):
        np.testing.assert_allclose(alibi_slopes(num_heads), reference.alibi_slopes(num_heads))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("make", BIASES)
def test_bias_follows_distance(make, known):
    layer = make()
    layer(np.arange(1))

    def bias(start, length=5):
        queries, keys = np.arange(start, start + length), np.arange(start, start + length + 2)
        if not known:
            queries, keys = map(keras.ops.convert_to_tensor, (queries, keys))
        return to_numpy(layer.bias(queries, keys))

    here = bias(0)
    assert here.shape == (1, 2, 5, 7)
    assert here.dtype == "float32"
    np.testing.assert_array_equal(here, bias(1000))
    np.testing.assert_array_equal(here[..., 1:, 1:], here[..., :-1, :-1])
    assert bias(0, 0).shape == (1, 2, 0, 2)


@pytest.mark.parametrize("make", BIASES)
def test_known_positions_and_tensors_agree(make):
    layer = make()
    queries, keys = np.array([7, 0, 60], "int32"), np.arange(40, dtype="int32")
    one = to_numpy(layer(queries, keys))
    np.testing.assert_array_equal(one, to_numpy(layer.bias(queries, range(40))))
    batch = to_numpy(layer(np.stack([queries, queries + 5]), np.stack([keys, keys + 5])))
    np.testing.assert_array_equal(batch, np.concatenate([one, one]))
    # Each of the two may have a batch by itself, and the positions be a mix of known and varying.
    mixed = layer.bias(keras.ops.convert_to_tensor(queries[None]), keys)
    np.testing.assert_array_equal(one, to_numpy(mixed))
    assert layer(np.zeros((0, 3), "int32")).shape[0] == 0


def test_half_precision_keeps_exact_distances():
    places = np.array([0, 2047, 2049, 4095], "int32")  # bfloat16 has 8 bits
    bias = AlibiBias(1, dtype="mixed_bfloat16").bias(places, places)
    expected = reference.alibi_bias({}, places, num_heads=1)
    np.testing.assert_array_equal(to_numpy(bias), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, r"`num_heads` must be a positive integer. Received: num_heads=0"),
        ({"num_buckets": 7}, r"even and at least 4 if bidirectional=True. Received: num_buckets=7"),
        ({"num_buckets": 2}, r"even and at least 4 if bidirectional=True. Received: num_buckets=2"),
        ({"num_buckets": 1, "bidirectional": False}, r"at least 2 if bidirectional=False"),
        ({"max_distance": 8}, r"`max_distance` must be above 8, .* Received: max_distance=8"),
        ({"max_distance": 16, "bidirectional": False}, r"`max_distance` must be above 16"),
        ({"init_std": 0}, r"`init_std` must be a positive number"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelativeBias(**{"num_heads": 2, **arguments})


@pytest.mark.parametrize("layer", [AlibiBias, RelativeBias])
def test_another_number_of_heads_than_attention_has(layer):
    attention = MultiHeadAttention(num_heads=2, position=layer(1))
    with pytest.raises(ValueError, match=r"of the layer that attends, 2. Received: num_heads=1"):
        attention(np.ones((1, 3, 4), "float32"))


@pytest.mark.parametrize("layer", [AlibiBias, RelativeBias])
def test_wrong_ranks(layer):
    with pytest.raises(ValueError, match=r"`query_positions` must have shape .*\(1, 2, 3\)"):
        layer(2)(np.zeros((1, 2, 3), "int32"))
    with pytest.raises(ValueError, match=r"`key_positions` must have shape .*\(\)"):
        layer(2)(np.arange(3), np.int32(3))
    with pytest.raises(ValueError, match=r"`num_heads` must be a positive integer"):
        layer(-1)


@pytest.mark.once
def test_bucket_off_by_one_is_noticed(monkeypatch):
    buckets = implementation.distance_buckets
    monkeypatch.setattr(implementation, "distance_buckets", lambda *a: np.roll(buckets(*a), 1))
    layer, places = RelativeBias(2, 8, 20, init_std=1.0), np.arange(9)
    layer(places)
    weights = {"table": to_numpy(layer.table)}
    expected = reference.relative_bias(weights, places, num_buckets=8, max_distance=20)
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(layer(places), expected, 1e-5)


@pytest.mark.once
def test_slope_off_by_one_head_is_noticed(monkeypatch):
    monkeypatch.setattr(alibi, "alibi_slopes", lambda n: np.append(alibi_slopes(n)[1:], 0.0))
    places = np.arange(4)
    expected = reference.alibi_bias({}, places, num_heads=3)
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(AlibiBias(3)(places), expected, 1e-5)
