"""Time the calls of a loaded file."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from kzoo_export.artifact.files import Runner
from kzoo_export.artifact.report import Latency

# Calls that warm the caches, which are not timed.
_WARM_UP = 2


def time_calls(runner: Runner, feed: Mapping[str, np.ndarray], repeats: int) -> list[float]:
    """Time single calls of a loaded file, after a few that are not timed.

    Args:
        runner: The loaded file.
        feed: One batch.
        repeats: Timed calls.

    Returns:
        Milliseconds of each call.
    """
    for _ in range(_WARM_UP):
        runner(feed)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        runner(feed)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def summarize(times: Sequence[float], threads: int) -> Latency:
    """Reduce repeated calls to their median and interquartile range.

    Args:
        times: Milliseconds of each call.
        threads: Threads they ran on.

    Returns:
        The summary.
    """
    low, median, high = (float(value) for value in np.percentile(times, (25, 50, 75)))
    return Latency(round(median, 4), round(high - low, 4), threads, len(times))
