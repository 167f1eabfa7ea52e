"""Absolute positions at their edges."""

import keras
import numpy as np
import pytest

from kzoo.layers import LearnedPositions, SinusoidalPositions, SinusoidalPositions2D
from kzoo.layers.positions import absolute as implementation
from kzoo.layers.positions.absolute import sinusoidal_table
from tests.arrays import assert_close, to_numpy
from tests.reference import positions as reference


def hidden(length: int, width: int = 6) -> np.ndarray:
    return np.ones((2, length, width), "float32")


def test_sinusoids_start_at_zero_and_keep_their_length():
    table = to_numpy(SinusoidalPositions()(hidden(512, 64)))
    np.testing.assert_array_equal(table[0], [0.0, 1.0] * 32)
    # sin^2 + cos^2 of each of 32 wavelengths.
    np.testing.assert_allclose((table**2).sum(-1), 32.0, rtol=1e-6)


def test_sinusoids_stay_accurate_over_long_sequences():
    table = to_numpy(SinusoidalPositions()(hidden(2048, 8)))
    angles = np.arange(2048)[:, None] / 10000.0 ** (np.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(table[:, 0::2], np.sin(angles), atol=1e-6)
    varying = sinusoidal_table(keras.ops.arange(2048), 8, 10000.0)
    # Float32 rounds an angle of 2048 to 1.2e-4.
    np.testing.assert_allclose(to_numpy(varying), table, atol=1.3e-4)


def test_2d_positions_tell_rows_from_columns():
    table = to_numpy(SinusoidalPositions2D(height=3, width=4)(hidden(12, 8))).reshape(3, 4, 8)
    np.testing.assert_array_equal(table[0, :, :4], table[2, :, :4])
    np.testing.assert_array_equal(table[:, 0, 4:], table[:, 3, 4:])
    assert np.unique(table.reshape(12, 8), axis=0).shape == (12, 8)


@pytest.mark.once
@pytest.mark.parametrize("mistake", [np.flip, lambda table: np.roll(table, 1, axis=0)])
def test_other_positions_are_noticed(monkeypatch, mistake):
    layer, inputs = SinusoidalPositions(), hidden(5)
    expected = reference.sinusoidal_positions({}, inputs)
    assert_close(layer(inputs), expected, 1e-5)
    known = implementation._known_table
    monkeypatch.setattr(implementation, "_known_table", lambda *a: mistake(known(*a)))
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(layer(inputs), expected, 1e-5)


def test_learned_positions_take_any_length_that_fits():
    layer = LearnedPositions(max_length=5)
    tables = [to_numpy(layer(hidden(length))) for length in (5, 1, 3)]
    assert [len(table) for table in tables] == [5, 1, 3]
    np.testing.assert_array_equal(tables[0][:3], tables[2])


@pytest.mark.parametrize("built", [False, True])
def test_too_long_a_sequence_is_refused(built):
    layer = LearnedPositions(max_length=5)
    if built:
        layer(hidden(5))
    message = r"at most `max_length`=5 tokens. Received: length=6"
    with pytest.raises(ValueError, match=message):
        layer(hidden(6))
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((6, 6)))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`max_length` must be a positive integer"):
        LearnedPositions(max_length=0)
    with pytest.raises(ValueError, match=r"`max_wavelength` must be a positive number"):
        SinusoidalPositions(max_wavelength=-1.0)
    with pytest.raises(ValueError, match=r"width of `hidden` must be even. Received: .*7\)"):
        SinusoidalPositions()(hidden(3, 7))
    with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=2"):
        SinusoidalPositions()(hidden(3)[0])
    with pytest.raises(ValueError, match=r"`height` must be a positive integer"):
        SinusoidalPositions2D(height=0, width=2)
    with pytest.raises(
        ValueError, match=r"`height` \* `width` = 6 patches. Received: .*\(2, 5, 8\)"
    ):
        SinusoidalPositions2D(height=2, width=3)(hidden(5, 8))
    with pytest.raises(ValueError, match=r"must be a multiple of 4. Received: .*\(2, 6, 6\)"):
        SinusoidalPositions2D(height=2, width=3)(hidden(6))
