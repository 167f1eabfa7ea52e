"""Which channels are outliers, and what smoothing divides them by."""

import numpy as np
import pytest

from kzoo_export.outliers import outlying, smoothing_factors

pytestmark = pytest.mark.once

K, N = 64, 48


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def test_even_channels_are_not_smoothed() -> None:
    magnitudes = np.abs(normal(10, K)).max(0)
    assert not len(outlying(magnitudes))
    assert smoothing_factors(magnitudes, [normal(K, N)]) is None


def test_silent_channels_are_no_danger() -> None:
    """What was zero on all samples may be large on others: it must not be enlarged much."""
    magnitudes = np.abs(normal(10, K)).max(0)
    magnitudes[:3], magnitudes[7] = 0.0, 100.0
    factors = smoothing_factors(magnitudes, [normal(K, N)])
    assert factors is not None
    assert np.isfinite(factors).all()
    assert factors.min() >= 0.5
    assert factors.argmax() == 7
