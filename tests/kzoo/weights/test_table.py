import numpy as np
import pytest

from kzoo.weights import rename, restore

pytestmark = pytest.mark.once

TABLE = {"linear.weight": "dense/kernel", "linear.bias": "dense/bias", "buffer": None}
SHAPES = {"dense/kernel": (3, 2), "dense/bias": (2,)}
TENSORS = {"linear.weight": np.arange(6.0).reshape(2, 3), "linear.bias": np.array([1.0, 2.0])}


def test_kernels_are_transposed_and_the_rest_is_not():
    arrays = rename(TENSORS, TABLE, SHAPES)
    np.testing.assert_array_equal(arrays["dense/kernel"], TENSORS["linear.weight"].T)
    np.testing.assert_array_equal(arrays["dense/bias"], TENSORS["linear.bias"])


def test_restore_is_the_inverse():
    restored = restore(rename(TENSORS, TABLE, SHAPES), TABLE)
    assert set(restored) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(restored[name], tensor)


def test_what_the_table_drops_may_be_there_or_not():
    with_buffer = {**TENSORS, "buffer": np.zeros(9)}
    assert set(rename(with_buffer, TABLE, SHAPES)) == set(SHAPES)


def test_names_are_made_plain_first():
    prefixed = {f"model.{name}": tensor for name, tensor in TENSORS.items()}
    arrays = rename(prefixed, TABLE, SHAPES, lambda name: name.removeprefix("model."))
    assert set(arrays) == set(SHAPES)


def test_difference_lists_both_sides():
    tensors = {"linear.weight": np.zeros((2, 2)), "other": np.zeros(1)}
    with pytest.raises(ValueError, match="The weights do not match the model") as caught:
        rename(tensors, TABLE, SHAPES)
    message = str(caught.value)
    assert "1 missing from the file: linear.bias" in message
    assert "1 unexpected in the file: other" in message
    assert "dense/kernel: (2, 2) in the file, (3, 2) in the model" in message


def test_two_spellings_of_one_weight_are_refused():
    tensors = {**TENSORS, "model.linear.bias": np.zeros(2)}
    with pytest.raises(ValueError, match=r"1 more than once in the file: model\.linear\.bias"):
        rename(tensors, TABLE, SHAPES, lambda name: name.removeprefix("model."))


def test_table_that_misses_a_variable_is_refused():
    with pytest.raises(ValueError, match="1 in the model but not in the table: dense/scale"):
        rename(TENSORS, TABLE, {**SHAPES, "dense/scale": (2,)})
    with pytest.raises(ValueError, match="1 in the table but not in the model: dense/bias"):
        rename(TENSORS, TABLE, {"dense/kernel": (3, 2)})
    with pytest.raises(ValueError, match="1 missing from the model: dense/bias"):
        restore({"dense/kernel": np.zeros((3, 2))}, TABLE)


def test_long_difference_is_shortened():
    tensors = {f"extra_{index}": np.zeros(1) for index in range(20)}
    with pytest.raises(ValueError, match=r"20 unexpected in the file: .* and 12 more"):
        rename({**TENSORS, **tensors}, TABLE, SHAPES)
