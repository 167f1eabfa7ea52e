"""Rounding to 4 bits: the published algorithm, and what it promises."""

import numpy as np
import pytest

from kzoo_export.gptq import (
    _DAMPING,
    Moments,
    mean_error,
    round_for_inputs,
    round_to_nearest,
)

pytestmark = pytest.mark.once

UNITS, CHANNELS, ROWS, BLOCK = 24, 160, 400, 32
RANDOM = np.random.default_rng(0)
# Inputs of a real layer: channels that depend on each other, some large, with a mean.
MIX = RANDOM.standard_normal((CHANNELS, CHANNELS)) * RANDOM.lognormal(0, 1, CHANNELS)
INPUTS = RANDOM.standard_normal((ROWS, 40)) @ MIX[:40] + 30 * RANDOM.standard_normal(CHANNELS)
MATRIX = RANDOM.standard_normal((UNITS, CHANNELS)).astype("float32")


def moments_of(inputs: np.ndarray) -> Moments:
    return Moments(inputs.T @ inputs, inputs.sum(axis=0), len(inputs))


def loss(values: np.ndarray, inputs: np.ndarray, shift: np.ndarray | float = 0.0) -> float:
    return float(np.linalg.norm(inputs @ (values - MATRIX).T + shift))


def by_the_book(matrix: np.ndarray, hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Quantize one column, update all others and the inverse: Optimal Brain Quantization, the
    equations 2 and 3 of the paper, in the order of the diagonal."""
    left, elements = matrix.astype(np.float64), np.zeros(matrix.shape)
    inverse = np.linalg.inv(hessian + _DAMPING * np.diagonal(hessian).mean() * np.eye(CHANNELS))
    for column in np.argsort(-np.diagonal(hessian), kind="stable"):
        scale = scales[:, column // BLOCK]
        elements[:, column] = np.clip(np.rint(left[:, column] / scale), -8, 7)
        error = (left[:, column] - elements[:, column] * scale) / inverse[column, column]
        left -= np.outer(error, inverse[column])
        inverse = inverse - np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return elements


def test_the_published_algorithm() -> None:
    moments = moments_of(INPUTS)
    rounded = round_for_inputs(MATRIX, moments, BLOCK, biased=False)
    expected = by_the_book(MATRIX, moments.products, rounded.scales.astype(np.float64))
    # A number in the middle between two integers may go either way.
    assert (rounded.elements != expected).mean() < 0.01
    assert rounded.elements.dtype == np.int8
    assert rounded.elements.min() >= -8
    assert rounded.elements.max() <= 7


def test_outputs_lose_less_than_by_rounding_each() -> None:
    moments = moments_of(INPUTS)
    nearest = round_to_nearest(MATRIX, BLOCK).values
    for_inputs = round_for_inputs(MATRIX, moments, BLOCK, biased=False).values
    biased = round_for_inputs(MATRIX, moments, BLOCK, biased=True)
    shift = mean_error(MATRIX, biased, moments)
    assert loss(for_inputs, INPUTS) < 0.5 * loss(nearest, INPUTS)
    assert loss(biased.values, INPUTS, shift) < 0.9 * loss(for_inputs, INPUTS)
    # The bias takes up the mean of the error in full.
    means = (INPUTS @ (biased.values - MATRIX).T + shift).mean(axis=0)
    np.testing.assert_allclose(means, 0.0, atol=1e-3)


def test_scales_are_those_of_kernels() -> None:
    scales = round_to_nearest(MATRIX, BLOCK).scales
    assert scales.shape == (UNITS, CHANNELS // BLOCK)
    assert not (scales.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_array_equal(scales.astype(np.float16).astype(np.float32), scales)
    # Better than the scale that holds the largest number of each block.
    largest = np.repeat(np.abs(MATRIX.reshape(UNITS, -1, BLOCK)).max(-1) / 7, BLOCK, axis=1)
    plain = np.clip(np.rint(MATRIX / largest), -7, 7) * largest
    chosen = round_to_nearest(MATRIX, BLOCK).values
    assert np.linalg.norm(chosen - MATRIX) < 0.97 * np.linalg.norm(plain - MATRIX)


@pytest.mark.parametrize("inputs", [np.zeros((9, CHANNELS)), INPUTS[:3]])
def test_few_and_silent_inputs(inputs: np.ndarray) -> None:
    rounded = round_for_inputs(MATRIX, moments_of(inputs), BLOCK, biased=True)
    assert np.isfinite(rounded.values).all()
    assert np.linalg.norm(rounded.values - MATRIX) < 0.5 * np.linalg.norm(MATRIX)


def test_matrix_of_zeros() -> None:
    zeros = np.zeros_like(MATRIX)
    assert not round_to_nearest(zeros, BLOCK).values.any()
    assert not round_for_inputs(zeros, moments_of(INPUTS), BLOCK, biased=True).values.any()
