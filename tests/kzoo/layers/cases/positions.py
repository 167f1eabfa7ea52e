"""Cases of positions."""

from functools import partial
from typing import Any

import numpy as np

from kzoo.layers import (
    AlibiBias,
    LearnedPositions,
    MultiHeadAttention,
    PositionBias,
    RelativeBias,
    RelativeKeys,
    RotaryPositions,
    SinusoidalPositions,
    SinusoidalPositions2D,
)
from tests.kzoo.layers.cases.case import HIDDEN, B, Case, T
from tests.reference import positions as reference

N, H = 2, 12
random = np.random.default_rng(2)
HEADS = random.normal(size=(B, T, N, H)).astype("float32")
PATCHES = random.normal(size=(B, 6, 12)).astype("float32")
# Places of packed sequences, and of one that goes on after 40 tokens.
POSITIONS = np.array([[0, 1, 2, 0, 1], [40, 41, 42, 43, 44]], "int32")
KEYS = np.array([0, 3, 9, 20, 39, 41, 44], "int32")
# Every blend has dimensions on both sides of it and inside.
YARN = {"type": "yarn", "factor": 4.0, "original_max_length": 32, "beta_fast": 4.0}
LLAMA3 = {
    "type": "llama3",
    "factor": 8.0,
    "original_max_length": 64,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
DYNAMIC = {"type": "dynamic", "factor": 2.0, "original_max_length": 16}


def rotary(inputs: dict[str, Any], **arguments: Any) -> Case:
    oracle = partial(reference.rotary_positions, **arguments)
    return Case(RotaryPositions, arguments, {"heads": HEADS, **inputs}, oracle)


attend = reference.attention_with_positions
CASES = {
    "rotary": rotary({}, rope_theta=100.0, rotary_dim=8, scaling=YARN),
    "rotary_interleaved": rotary({}, rope_theta=100.0, rotary_dim=8, interleaved=True),
    "rotary_interleaved_positions": rotary(
        {"positions": POSITIONS}, scaling=DYNAMIC, interleaved=True
    ),
    "rotary_positions": rotary({"positions": POSITIONS}, scaling=DYNAMIC),
    "alibi_bias": Case(
        AlibiBias,
        {"num_heads": 3},
        {"query_positions": POSITIONS, "key_positions": KEYS},
        partial(reference.alibi_bias, num_heads=3),
    ),
    "relative_bias": Case(
        RelativeBias,
        {"num_heads": 3, "num_buckets": 12, "max_distance": 30},
        {"query_positions": POSITIONS, "key_positions": KEYS},
        partial(reference.relative_bias, num_buckets=12, max_distance=30),
    ),
    "relative_bias_causal": Case(
        RelativeBias,
        {"num_heads": 2, "num_buckets": 8, "max_distance": 20, "bidirectional": False},
        {"query_positions": KEYS},
        partial(reference.relative_bias, num_buckets=8, max_distance=20, bidirectional=False),
    ),
    "relative_keys": Case(
        RelativeKeys,
        {"max_distance": 15},
        {"query": HEADS},
        partial(reference.relative_keys, max_distance=15),
    ),
    "relative_keys_positions": Case(
        RelativeKeys,
        {"max_distance": 30, "compare_keys": True},
        {
            "query": np.concatenate([HEADS, HEADS[::-1]], axis=2),
            "key": np.concatenate([HEADS, HEADS], axis=1)[:, : len(KEYS)],
            "query_positions": POSITIONS,
            "key_positions": KEYS,
        },
        partial(reference.relative_keys, max_distance=30, compare_keys=True),
    ),
    "position_bias": Case(
        PositionBias,
        {"position": RelativeBias(3, 8, 20, name="position")},
        {"hidden": HIDDEN},
        partial(
            reference.position_bias,
            bias=partial(reference.relative_bias, num_buckets=8, max_distance=20),
        ),
    ),
    "sinusoidal_positions_2d": Case(
        SinusoidalPositions2D,
        {"height": 2, "width": 3, "max_wavelength": 500.0},
        {"hidden": PATCHES},
        partial(reference.sinusoidal_positions_2d, height=2, width=3, max_wavelength=500.0),
    ),
    "sinusoidal_positions": Case(
        SinusoidalPositions, {}, {"hidden": HIDDEN}, reference.sinusoidal_positions
    ),
    "sinusoidal_positions_short": Case(
        SinusoidalPositions,
        {"max_wavelength": 50.0},
        {"hidden": HIDDEN},
        partial(reference.sinusoidal_positions, max_wavelength=50.0),
    ),
    "learned_positions": Case(
        LearnedPositions, {"max_length": T + 2}, {"hidden": HIDDEN}, reference.learned_positions
    ),
    "learned_positions_from_2": Case(
        LearnedPositions,
        {"max_length": T, "start": 2},
        {"hidden": HIDDEN},
        partial(reference.learned_positions, start=2),
        # The rows before the first are those of padding.
    ),
    "rotary_attention": Case(
        MultiHeadAttention,
        {
            "num_heads": 4,
            "num_kv_heads": 2,
            "head_dim": 6,
            "causal": True,
            "position": RotaryPositions(100.0, LLAMA3, rotary_dim=4, name="position"),
        },
        {"query": HIDDEN},
        partial(
            attend,
            num_heads=4,
            num_kv_heads=2,
            rotate=partial(
                reference.rotary_positions, rope_theta=100.0, scaling=LLAMA3, rotary_dim=4
            ),
        ),
    ),
    "alibi_attention": Case(
        MultiHeadAttention,
        {"num_heads": 2, "causal": True, "position": AlibiBias(2, name="position")},
        {"query": HIDDEN},
        partial(attend, num_heads=2, bias=partial(reference.alibi_bias, num_heads=2)),
    ),
    "relative_attention": Case(
        MultiHeadAttention,
        {"num_heads": 2, "position": RelativeBias(2, 8, 20, name="position")},
        {"query": HIDDEN},
        partial(
            attend,
            num_heads=2,
            causal=False,
            bias=partial(reference.relative_bias, num_buckets=8, max_distance=20),
        ),
    ),
    "relative_keys_attention": Case(
        MultiHeadAttention,
        {
            "num_heads": 4,
            "num_kv_heads": 2,
            "causal": True,
            "position": RelativeKeys(3, compare_keys=True, name="position"),
        },
        {"query": HIDDEN},
        partial(
            attend,
            num_heads=4,
            num_kv_heads=2,
            compare=partial(reference.relative_keys, max_distance=3, compare_keys=True),
        ),
    ),
}
