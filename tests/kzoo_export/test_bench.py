"""Timing: turns, processes, and what is said when one of them ends."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export import Report, benchmark
from kzoo_export.artifact.measure import summarize

pytestmark = pytest.mark.once

Exported = tuple[keras.Model, dict[str, Report]]


def test_median_and_interquartile_range() -> None:
    latency = summarize([5.0, 1.0, 2.0, 4.0, 3.0], threads=3)
    assert (latency.median, latency.spread) == (3.0, 2.0)
    assert (latency.threads, latency.repeats) == (3, 5)


def test_files_are_timed_side_by_side(exported: Exported) -> None:
    _, reports = exported
    paths = [reports["float32"].path, reports["dynamic_int8"].path]
    steps: list[str] = []
    result = benchmark(
        paths,
        samples={"words": np.zeros((3, 12), int), "numbers": np.zeros((3, 32))},
        threads=1,
        repeats=7,
        progress=lambda step, fraction: steps.append(step),
    )
    assert list(result.latencies) == paths
    assert all(latency.repeats == 7 for latency in result.latencies.values())
    assert all(0 < latency.median < 1000 for latency in result.latencies.values())
    # Two turns each, one after the other.
    assert steps == [*[Path(path).name for path in paths] * 2, "done"]
    assert json.loads(result.to_json())["latencies"][paths[0]]["threads"] == 1
    assert "dynamic_int8.tflite" in str(result)


def test_arguments_are_checked(exported: Exported) -> None:
    _, reports = exported
    path = reports["float32"].path
    wrong: tuple[Any, ...] = ([], path)
    for paths in wrong:
        with pytest.raises(ValueError, match="`paths` must be a list of files"):
            benchmark(paths)
    with pytest.raises(ValueError, match="`repeats` must be a positive integer"):
        benchmark([path], repeats=0)
    with pytest.raises(ValueError, match="existing file"):
        benchmark(["none.tflite"])
