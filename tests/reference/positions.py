"""Positions."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from tests.reference.basics import Array, Weights, affine, inside, softmax


def sinusoidal_positions(
    weights: Weights, hidden: Array, *, max_wavelength: float = 10000.0
) -> Array:
    length, width = hidden.shape[1:]
    table = np.zeros((length, width))
    for time in range(length):
        for i in range(width // 2):
            angle = time / max_wavelength ** (2 * i / width)
            table[time, 2 * i], table[time, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


def learned_positions(weights: Weights, hidden: Array, *, start: int = 0) -> Array:
    return weights["table"][start:][: hidden.shape[1]]


def sinusoidal_positions_2d(
    weights: Weights, hidden: Array, *, height: int, width: int, max_wavelength: float = 10000.0
) -> Array:
    """MAE's table: a quarter of sines and one of cosines for the column, the same for the row."""
    quarter = hidden.shape[-1] // 4
    table = np.zeros((height, width, 4, quarter))
    for y in range(height):
        for x in range(width):
            for i in range(quarter):
                frequency = 1 / max_wavelength ** (i / quarter)
                table[y, x, 0, i], table[y, x, 1, i] = (
                    math.sin(x * frequency),
                    math.cos(x * frequency),
                )
                table[y, x, 2, i], table[y, x, 3, i] = (
                    math.sin(y * frequency),
                    math.cos(y * frequency),
                )
    return table.reshape(height * width, -1)


def rotary_positions(
    weights: Weights,
    heads: Array,
    positions: Array | None = None,
    *,
    rope_theta: float = 10000.0,
    scaling: Mapping[str, Any] | None = None,
    rotary_dim: int | None = None,
    interleaved: bool = False,
) -> Array:
    """Multiply complex numbers x_i + j x_(i+R/2) by e^(j t theta_i): RoFormer, equation 14.

    Interleaved: x_(2i) + j x_(2i+1), as the paper has it.
    """
    rotary_dim = rotary_dim or heads.shape[-1]
    half = rotary_dim // 2
    if positions is None:
        positions = np.arange(heads.shape[1])
    length = int(positions.max()) + 1
    frequencies = [rope_theta ** (-2 * i / rotary_dim) for i in range(half)]
    factor = 1.0
    if scaling is not None:
        frequencies, factor = scaled_frequencies(frequencies, rope_theta, length, **scaling)
    turns = factor * np.exp(1j * np.multiply.outer(positions, frequencies))[..., None, :]
    if interleaved:
        turned = (heads[..., :rotary_dim:2] + 1j * heads[..., 1:rotary_dim:2]) * turns
        result = heads.copy()
        result[..., :rotary_dim:2], result[..., 1:rotary_dim:2] = turned.real, turned.imag
        return result
    turned = (heads[..., :half] + 1j * heads[..., half:rotary_dim]) * turns
    return np.concatenate([turned.real, turned.imag, heads[..., rotary_dim:]], axis=-1)


def scaled_frequencies(
    frequencies: list[float],
    theta: float,
    length: int,
    type: str,
    factor: float = 1.0,
    **settings: Any,
) -> tuple[list[float], float]:
    """Scale frequencies one by one; also what rotated heads are multiplied by."""
    original, dim = settings.get("original_max_length", 0), 2 * len(frequencies)
    if type == "linear":  # position interpolation: positions over the factor
        return [frequency / factor for frequency in frequencies], 1.0
    if type == "dynamic":  # YaRN, appendix A, with the length in place of the target length
        stretch = factor * max(length, original) / original - (factor - 1)
        theta = theta * stretch ** (dim / (dim - 2))
        return [theta ** (-2 * i / dim) for i in range(dim // 2)], 1.0
    if type == "llama3":
        low, high = settings["low_freq_factor"], settings["high_freq_factor"]
        return [_llama3(frequency, factor, original, low, high) for frequency in frequencies], 1.0
    if type == "longrope":
        divisors = settings["long_factor" if length > original else "short_factor"]
        scaled = [f / each for f, each in zip(frequencies, divisors, strict=True)]
        return scaled, (1 + math.log(factor) / math.log(original)) ** 0.5
    assert type == "yarn"
    scaled = _yarn(frequencies, theta, factor, original, **settings)
    return scaled, _yarn_attention(factor, **settings)


def _yarn(
    frequencies: list[float], theta: float, factor: float, original: int, **settings: Any
) -> list[float]:
    dim = 2 * len(frequencies)

    def dimension(turns: float) -> float:
        """Solve original / (2 pi theta^(2i/dim)) = turns for i."""
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first, last = dimension(settings.get("beta_fast", 32)), dimension(settings.get("beta_slow", 1))
    if settings.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, dim - 1)
    scaled = []
    for i, frequency in enumerate(frequencies):
        ramp = min(max((i - first) / (last - first), 0.0), 1.0)
        scaled.append((1 - ramp) * frequency + ramp * frequency / factor)
    return scaled


def _yarn_attention(factor: float, **settings: Any) -> float:
    if "attention_factor" in settings:
        return float(settings["attention_factor"])
    if "mscale" in settings:
        above, below = (
            1 + 0.1 * settings[name] * math.log(factor) for name in ("mscale", "mscale_all_dim")
        )
        return float(above / below)
    return 0.1 * math.log(factor) + 1


def _llama3(frequency: float, factor: float, original: int, low: float, high: float) -> float:
    wavelength = 2 * math.pi / frequency
    if wavelength < original / high:
        return frequency
    if wavelength > original / low:
        return frequency / factor
    smooth = (original / wavelength - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency


def alibi_slopes(num_heads: int) -> list[float]:
    """From 2^(-8/N), with that ratio; N that is no power of 2 is filled up from the next."""
    if num_heads & (num_heads - 1) == 0:
        start = 2 ** (-8 / num_heads)
        return [start ** (i + 1) for i in range(num_heads)]
    closest = 2 ** math.floor(math.log2(num_heads))
    return alibi_slopes(closest) + alibi_slopes(2 * closest)[0::2][: num_heads - closest]


def alibi_bias(
    weights: Weights, query_positions: Array, key_positions: Array | None = None, *, num_heads: int
) -> Array:
    distances = np.abs(_relative(query_positions, key_positions))
    return np.stack([-slope * distances for slope in alibi_slopes(num_heads)], axis=1)


def relative_bias(
    weights: Weights,
    query_positions: Array,
    key_positions: Array | None = None,
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Array:
    relative = _relative(query_positions, key_positions)
    distances, places = np.unique(relative, return_inverse=True)
    buckets = [relative_bucket(int(x), num_buckets, max_distance, bidirectional) for x in distances]
    picked = weights["table"][np.array(buckets)[places.reshape(relative.shape)]]
    return np.moveaxis(picked, -1, 1)


def relative_keys(
    weights: Weights,
    query: Array,
    key: Array | None = None,
    query_positions: Array | None = None,
    key_positions: Array | None = None,
    *,
    max_distance: int,
    compare_keys: bool = False,
) -> Array:
    """Add to what one query compares with one key: the vector of their distance."""
    key = query if key is None else key
    query_positions = np.arange(query.shape[1]) if query_positions is None else query_positions
    key_positions = np.arange(key.shape[1]) if key_positions is None else key_positions
    key = np.repeat(key, query.shape[2] // key.shape[2], axis=2)
    bias = np.zeros((len(query), query.shape[2], query.shape[1], key.shape[1]))
    relative = np.broadcast_to(
        _relative(query_positions, key_positions), (len(query), *bias.shape[2:])
    )
    for b, n, t, s in np.ndindex(*bias.shape):
        distance = min(max(int(relative[b, t, s]), -max_distance), max_distance)
        vector = weights["table"][distance + max_distance]
        compared = query[b, t, n] + (key[b, s, n] if compare_keys else 0.0)
        bias[b, n, t, s] = compared @ vector / math.sqrt(query.shape[-1])
    return bias


def position_bias(weights: Weights, hidden: Array, *, bias: Callable[..., Array]) -> Array:
    return bias(inside(weights, "position"), np.arange(hidden.shape[1]))


def relative_bucket(
    distance: int, num_buckets: int, max_distance: int, bidirectional: bool = True
) -> int:
    """T5's bucket of a key `distance` after the query, in integers only.

    Bucket e + k begins at the distance e * (max / e)^(k / (n - e)), with e the number of exact
    buckets of the n in one direction: raised to the power n - e that is a fraction.
    """
    start = 0
    if bidirectional:
        num_buckets //= 2
        start = num_buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = num_buckets // 2
    if distance < exact:
        return start + distance
    growing = num_buckets - exact
    grown, ratio = Fraction(distance, exact) ** growing, Fraction(max_distance, exact)
    reached = [k for k in range(growing) if grown >= ratio**k]
    return start + exact + max(reached)


def _relative(query_positions: Array, key_positions: Array | None) -> Array:
    """How far each key is after each query, (1 or B, T, S)."""
    keys = query_positions if key_positions is None else key_positions
    relative = np.asarray(keys)[..., None, :] - np.asarray(query_positions)[..., :, None]
    return relative if relative.ndim == 3 else relative[None]


def attention_with_positions(
    weights: Weights,
    query: Array,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    rotate: Callable[[Weights, Array], Array] = lambda weights, heads: heads,
    bias: Callable[[Weights, Array], Array] = lambda weights, positions: np.zeros((1, 1, 1, 1)),
    compare: Callable[..., Array] = lambda weights, queries, keys: np.zeros((1, 1, 1, 1)),
    causal: bool = True,
    mask: Array | None = None,
) -> Array:
    """Attention whose queries and keys turn, or whose scores have a bias.

    A mask is of pairs, (1 or B, T, S). A row without any key is attended to as if it had no mask.
    """
    position = inside(weights, "position")

    def heads(name: str, count: int) -> Array:
        return affine(inside(weights, name), query).reshape(*query.shape[:2], count, -1)

    shared = num_kv_heads or num_heads
    queries, keys = (
        rotate(position, heads("query", num_heads)),
        rotate(position, heads("key", shared)),
    )
    keys, values = (
        np.repeat(x, num_heads // shared, axis=2) for x in (keys, heads("value", shared))
    )
    scores = np.einsum("btnh,bsnh->bnts", queries, keys) / math.sqrt(queries.shape[-1])
    scores = scores + bias(position, np.arange(query.shape[1])) + compare(position, queries, keys)
    allowed = np.ones((1, *scores.shape[-2:]), bool) if mask is None else mask
    allowed = np.tril(allowed)[:, None] if causal else allowed[:, None]
    scores = np.where(allowed | ~allowed.any(-1, keepdims=True), scores, -np.inf)
    attended = np.einsum("bnts,bsnh->btnh", softmax(scores), values)
    return affine(inside(weights, "out"), attended.reshape(*query.shape[:2], -1))
