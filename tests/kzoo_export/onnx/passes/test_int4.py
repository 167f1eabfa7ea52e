"""Tables in 4 bits: the scale of a block that loses least, and rows as the runtime reads them."""

from pathlib import Path

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import pytest

from kzoo_export.onnx.passes.int4 import blocks, store_tables
from kzoo_export.recipe import BLOCK
from tests.kzoo_export.onnx.graphs import normal, ops, parse, run

pytestmark = pytest.mark.once

ROWS, WIDTH = 50, 3 * BLOCK


def widened(table: np.ndarray) -> np.ndarray:
    """What a lookup of each row must give."""
    elements, scales = blocks(table)
    return elements.astype(np.float32) * np.repeat(scales.astype(np.float32), BLOCK, axis=1)


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        np.float32,
        (2, 2 * BLOCK),
        elements=hypothesis.strategies.floats(-10, 10, width=32),
    )
)
def test_no_block_loses_more_than_with_its_whole_range(table: np.ndarray) -> None:
    cut = table.reshape(2, -1, BLOCK)
    # float16 has no scales below 6e-8: such blocks are zero.
    scales = (np.abs(cut).max(-1, keepdims=True) / 7).astype(np.float16).astype(np.float32)
    plain = np.where(scales > 0, np.rint(cut / np.where(scales > 0, scales, 1)).clip(-7, 7), 0)
    loss = np.square(cut - widened(table).reshape(cut.shape)).sum(-1)
    assert (loss <= np.square(cut - plain * scales).sum(-1) * 1.0001 + 1e-12).all()


def test_normal_numbers_lose_a_tenth() -> None:
    table = normal(ROWS, WIDTH)
    error = np.linalg.norm(widened(table) - table) / np.linalg.norm(table)
    # One range for all normal numbers loses at least 0.01154 of the variance, even with 16 even
    # levels (Max, Quantizing for Minimum Distortion, 1960, table II); one for each block does
    # better with 15.
    assert 0.07 < error < 0.01154**0.5


@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_runtime_looks_up_what_is_stored(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    sizes = ",".join(map(str, shape))
    text = f"g ({dtype}[{sizes}] ids) => (float[{sizes},{WIDTH}] y) {{ y = Gather (table, ids) }}"
    table = normal(ROWS, WIDTH)
    model = parse(text, table=table)
    store_tables(model, {"table"})
    assert ops(model) == ["Cast", "GatherBlockQuantized"]
    ids = np.random.default_rng(0).integers(-ROWS, ROWS, shape).astype(dtype)
    # The runtime gives products in the dtype of the scales.
    expected = widened(table)[ids].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(model, tmp_path, ids=ids), expected)
