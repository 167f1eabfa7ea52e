"""Tables of the command line in a terminal of 80 columns."""

import io
from typing import Any

import pytest
from rich.console import Console

from kzoo_export import Benchmark
from kzoo_export.artifact.report import Latency

pytestmark = pytest.mark.once


def render(table: Any) -> str:
    """What a terminal of 80 columns shows."""
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_bench_keeps_names_whole_and_explains_the_ratio_in_80_columns() -> None:
    names = [f"minilm_l6_v2_dynamic_int8.{suffix}" for suffix in ("tflite", "onnx")]
    latency = Latency(median=123.456, spread=12.345, threads=16, repeats=1000)
    text = render(Benchmark(dict.fromkeys(names, latency)))
    assert all(name in text for name in names)
    assert "ratio: median latency against the first file" in text
    assert "…" not in text


def test_demo_explains_the_columns_of_its_summary() -> None:
    from kzoo_export.demo import summary

    table = summary(())
    for name in ("MB:", "ratio:", "cosine, min:", "ms, IQR:"):
        assert name in str(table.caption)
    assert "…" not in render(table)
