"""Rotary positions at their edges."""

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kzoo.layers import RotaryPositions
from kzoo.layers.positions import rotary as implementation
from kzoo.layers.positions.rope_scaling import SCALINGS
from tests.arrays import assert_close, to_numpy
from tests.checks import FLOAT32_TOLERANCE, GRADIENT_TOLERANCE
from tests.reference.positions import rotary_positions, scaled_frequencies

B, T, N, H = 2, 6, 2, 8
HEADS, OTHERS = np.random.default_rng(0).normal(size=(2, B, T, N, H)).astype("float32")
LLAMA3 = {
    "type": "llama3",
    "factor": 8.0,
    "original_max_length": 32,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
YARN = {"type": "yarn", "factor": 4.0, "original_max_length": 32}
LONGROPE = {
    "type": "longrope",
    "short_factor": (1.0, 1.1, 1.5, 2.0),
    "long_factor": (1.0, 2.0, 4.0, 7.5),
    "factor": 8.0,
}
SCALED = {
    "linear": {"type": "linear", "factor": 4.0},
    "dynamic": {"type": "dynamic", "factor": 4.0, "original_max_length": 4},
    "yarn": YARN,
    "yarn_smooth": {**YARN, "beta_fast": 3.0, "attention_factor": 1.5, "truncate": False},
    "yarn_mscales": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.7},
    "llama3": LLAMA3,
    "longrope_short": {**LONGROPE, "original_max_length": 32},
    "longrope_long": {**LONGROPE, "original_max_length": 4},
}


def tensor(array):
    return keras.ops.convert_to_tensor(array)


@pytest.mark.parametrize("scaling", SCALED)
def test_scalings_agree_with_the_reference(scaling):
    arguments = {"scaling": SCALED[scaling], "rope_theta": 100.0}
    layer = RotaryPositions(**arguments)
    expected = rotary_positions({}, HEADS.astype("float64"), **arguments)
    for positions in (range(T), np.arange(T), tensor(np.arange(T, dtype="int32"))):
        assert_close(layer.rotate(tensor(HEADS), positions), expected, FLOAT32_TOLERANCE)


@pytest.mark.once
@pytest.mark.parametrize("theta", [500.0, 10000.0, 500000.0])
@pytest.mark.parametrize("scaling", SCALED)
def test_scaled_frequencies_of_real_sizes(scaling, theta):
    parameters = {**SCALED[scaling]}
    if "original_max_length" in parameters:
        parameters["original_max_length"] = 4096
    for name in ("short_factor", "long_factor"):
        if name in parameters:
            parameters[name] = 16 * parameters[name]
    plain = theta ** -(np.arange(0, 128, 2) / 128)
    expected, expected_factor = scaled_frequencies(list(plain), theta, 10000, **parameters)
    made = SCALINGS[parameters.pop("type")](**parameters)
    actual, factor = made(plain, theta, 10000)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    assert factor == pytest.approx(expected_factor)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(start=st.integers(0, 2000), scaling=st.sampled_from([None, *SCALED]))
def test_scores_depend_on_distance_alone(start, scaling):
    if scaling in ("dynamic", "longrope_short"):  # frequencies depend on the last position
        scaling = None
    layer = RotaryPositions(scaling=SCALED.get(scaling))

    def scores(first):
        query, key = (layer.rotate(tensor(heads), first) for heads in (HEADS, OTHERS))
        return np.einsum("btnh,bsnh->bnts", to_numpy(query), to_numpy(key))

    here, there = scores(range(T)), scores(range(start, start + T))
    # Sums of 8 products of about 1, rounded in float32; the angles themselves are exact.
    np.testing.assert_allclose(here, there, atol=2e-5)


def test_rotation_keeps_norms_and_unrotated_dimensions():
    rotated = to_numpy(RotaryPositions(rotary_dim=4)(HEADS))
    np.testing.assert_array_equal(rotated[..., 4:], HEADS[..., 4:])
    np.testing.assert_array_equal(rotated[:, 0], HEADS[:, 0])
    norms = [np.linalg.norm(heads, axis=-1) for heads in (rotated, HEADS)]
    np.testing.assert_allclose(*norms, rtol=1e-5)


def test_gradient_with_respect_to_the_heads():
    layer = RotaryPositions(100.0, {**SCALED["yarn_smooth"]}, rotary_dim=6)
    random = np.random.default_rng(1)
    cotangent, direction = random.normal(size=(2, *HEADS.shape))
    gradient = input_gradient(layer, HEADS, cotangent.astype("float32"))
    oracle = partial(
        rotary_positions, {}, rope_theta=100.0, scaling=SCALED["yarn_smooth"], rotary_dim=6
    )
    step = 1e-5
    higher, lower = (oracle(HEADS + sign * step * direction) for sign in (1, -1))
    expected = ((higher - lower) * cotangent).sum() / (2 * step)
    scale = np.abs(gradient * direction).sum()
    assert abs((gradient * direction).sum() - expected) / scale < GRADIENT_TOLERANCE


def input_gradient(layer, inputs, cotangent):
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda heads: (layer(heads) * cotangent).sum())(inputs))
    if backend == "torch":
        import torch

        heads = torch.from_numpy(inputs).requires_grad_()
        (layer(heads) * torch.from_numpy(cotangent)).sum().backward()
        return heads.grad.numpy()
    import tensorflow as tf

    heads = tf.Variable(inputs)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(heads) * cotangent)
    return tape.gradient(loss, heads).numpy()


def test_known_positions_stay_accurate_far_away():
    far = np.arange(10**6, 10**6 + T)
    expected = rotary_positions({}, HEADS.astype("float64"), far)
    assert_close(RotaryPositions().rotate(tensor(HEADS), far), expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("known", [True, False])
def test_half_precision_keeps_float32_angles(dtype, known):
    # bfloat16 has no 1001: angles in it would be off by whole radians.
    positions = np.arange(1001, 1001 + T, dtype="int32")
    rotated = RotaryPositions().rotate(
        keras.ops.cast(HEADS, dtype), positions if known else tensor(positions)
    )
    assert keras.backend.standardize_dtype(rotated.dtype) == dtype
    expected = rotary_positions({}, HEADS.astype("float64"), positions)
    assert_close(rotated, expected, {"bfloat16": 1e-2, "float16": 2e-3}[dtype])


@pytest.mark.parametrize("scaling", [None, SCALED["dynamic"]])
@pytest.mark.parametrize("shape", [(0, T, N, H), (B, 1, N, H), (B, 0, N, H)])
def test_empty_and_short_inputs(shape, scaling):
    layer, heads = RotaryPositions(scaling=scaling), np.zeros(shape, "float32")
    assert tuple(layer(heads).shape) == shape
    positions = np.zeros(shape[:2], "int32")
    assert tuple(layer(heads, positions).shape) == shape


def test_large_heads_stay_finite():
    heads = keras.ops.cast(np.full((1, T, 1, H), 1e4, "float32"), "float16")
    assert np.isfinite(to_numpy(RotaryPositions(scaling=LLAMA3, dtype="float16")(heads))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rope_theta": 0}, r"`rope_theta` must be a positive number. Received: rope_theta=0"),
        ({"rope_theta": 1}, r"`rope_theta` must be above 1. Received: rope_theta=1"),
        ({"rotary_dim": 3}, r"`rotary_dim` must be even. Received: rotary_dim=3"),
        ({"rotary_dim": 0}, r"`rotary_dim` must be a positive integer"),
        ({"scaling": "linear"}, r"`scaling` must be a mapping with a 'type'. Received: .*linear"),
        ({"scaling": {"factor": 2.0}}, r"`scaling` must be a mapping with a 'type'"),
        (
            {"scaling": {"type": "ntk", "factor": 2.0}},
            r"`scaling\['type'\]` must be one of .*'ntk'",
        ),
        ({"scaling": {"type": "linear"}}, r"'linear' takes \['factor'\].* requires \['factor'\]"),
        ({"scaling": {**SCALED["linear"], "beta": 2}}, r"'linear' takes \['factor'\].*'beta': 2"),
        ({"scaling": {"type": "linear", "factor": 0.5}}, r"factor'\]` must be at least 1"),
        ({"scaling": {"type": "linear", "factor": "2"}}, r"must be a positive number. .*='2'"),
        ({"scaling": {**YARN, "original_max_length": 8.5}}, r"must be a positive integer. .*=8.5"),
        ({"scaling": {**YARN, "factor": None}}, r"factor'\]` must be a positive number. .*None"),
        ({"scaling": {**YARN, "beta_slow": 64}}, r"beta_slow'\]` must be below beta_fast=32.0"),
        ({"scaling": {**YARN, "truncate": 2}}, r"truncate'\]` must be True or False"),
        ({"scaling": {**LLAMA3, "low_freq_factor": 4.0}}, r"must be below high_freq_factor=4.0"),
        ({"scaling": {**YARN, "rope_type": "linear"}}, r"`scaling\['type'\]` must be given once"),
        (
            {"scaling": {**LONGROPE, "original_max_length": 4, "long_factor": [1.0, -1.0]}},
            r"long_factor'\]\[1\]` must be a positive number. .*=-1.0",
        ),
        (
            {"scaling": {**LONGROPE, "original_max_length": 4, "short_factor": 2.0}},
            r"short_factor'\]` must be a list of numbers. .*=2.0",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RotaryPositions(**arguments)


@pytest.mark.parametrize(
    ("arguments", "shapes", "message"),
    [
        ({}, [(B, T, N, 7)], r"must be even .*heads.shape=\(2, 6, 2, 7\)"),
        ({"rotary_dim": 10}, [(B, T, N, 8)], r"at least `rotary_dim`.*rotary_dim=10"),
        ({}, [(B, T, 8)], r"`heads` must have shape \(B, T, N, H\). Received: .*\(2, 6, 8\)"),
        ({}, [(B, T, N, 8), (T + 1,)], r"one position for each token.*positions.shape=\(7,\)"),
        ({}, [(B, T, N, 8), (B, T, 1)], r"`positions` must have shape \(T,\) or \(B, T\)"),
    ],
)
@pytest.mark.parametrize("symbolic", [True, False])
def test_wrong_shapes(arguments, shapes, message, symbolic):
    dtypes = ("float32", "int32")
    make = keras.KerasTensor if symbolic else np.zeros
    inputs = [make(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False)]
    with pytest.raises(ValueError, match=message):
        RotaryPositions(**arguments)(*inputs)


def test_settings_of_checkpoints_are_read_as_they_are_written():
    renamed = {"type": "rope_type", "original_max_length": "original_max_position_embeddings"}
    for scaling in (LLAMA3, {**LONGROPE, "original_max_length": 4, "long_factor": [1, 2, 4, 7.5]}):
        written = {renamed.get(name, name): value for name, value in scaling.items()}
        expected = RotaryPositions(scaling=scaling)(HEADS)
        # Some files have both spellings of the type.
        for settings_of_file in (written, {**written, "type": scaling["type"]}):
            layer = RotaryPositions(scaling=settings_of_file)
            assert_close(layer(HEADS), to_numpy(expected), 0.0)
            again = RotaryPositions.from_config(layer.get_config())
            assert_close(again(HEADS), to_numpy(expected), 0.0)


def test_longrope_needs_a_factor_for_each_frequency():
    layer = RotaryPositions(scaling={**LONGROPE, "original_max_length": 4}, rotary_dim=6)
    with pytest.raises(ValueError, match=r"must have 3 factors.*4 in 'short_factor' and 4 in"):
        layer(HEADS)


def test_dynamic_scaling_needs_two_frequencies():
    with pytest.raises(ValueError, match=r"needs a rotary width above 2. Received: 2"):
        RotaryPositions(scaling=SCALED["dynamic"])(HEADS[..., :2])


@pytest.mark.once
def test_reversed_rotation_is_noticed(monkeypatch):
    turn = implementation.rotate
    monkeypatch.setattr(
        implementation, "rotate", lambda heads, cos, sin, *rest: turn(heads, cos, -sin, *rest)
    )
    expected = rotary_positions({}, HEADS.astype("float64"))
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(RotaryPositions()(HEADS), expected, FLOAT32_TOLERANCE)


@pytest.mark.once
@pytest.mark.parametrize("scaling", SCALED)
def test_another_factor_of_scaling_is_noticed(scaling):
    wrong = {**SCALED[scaling], "factor": 1.1 * SCALED[scaling]["factor"]}
    expected = rotary_positions({}, HEADS.astype("float64"), rope_theta=100.0, scaling=wrong)
    rotated = RotaryPositions(100.0, SCALED[scaling]).rotate(tensor(HEADS), range(T))
    with pytest.raises(AssertionError, match="largest error"):
        assert_close(rotated, expected, FLOAT32_TOLERANCE)
