"""Progress of an export: steps, fractions that only grow, and seconds that add up."""

import itertools
import time
from pathlib import Path

import pytest

from kzoo_export import export
from kzoo_export.mixed import alike, fewest, most_trials
from kzoo_export.progress import Stopwatch, part, silent, told
from tests.kzoo_export import models

pytestmark = pytest.mark.once


def test_stopwatch_adds_up_what_a_step_took() -> None:
    heard = []
    watch = Stopwatch(part(lambda *told: heard.append(told), 0.5, 1.0))
    for step, fraction in (("a", 0.0), ("b", 0.5), ("a", 0.8)):
        watch.tell(step, fraction)
        time.sleep(0.02)
    seconds = watch.stop()
    assert heard == [("a", 0.5), ("b", 0.75), ("a", 0.9)]
    assert list(seconds) == ["a", "b"]
    assert 0.04 <= seconds["a"] < 1
    assert seconds == watch.stop()


@pytest.mark.parametrize("needed", range(8))
def test_losses_are_never_more_than_was_said(needed: int) -> None:
    names = [f"{block}_{part}" for block in range(4) for part in "abc"]
    fractions: list[float] = []
    loss = told(len, lambda step, fraction: fractions.append(fraction), "scan", most_trials(names))

    def holds(wide: list[str]) -> bool:
        loss(wide)
        return len(wide) >= needed

    if not holds([]):
        groups = fewest(alike(names), loss, holds)
        fewest([[name] for name in groups], loss, holds)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] < 1.0


@pytest.mark.parametrize(
    ("file", "recipe", "steps"),
    [
        ("made.onnx", "static_int8", {"calibrate", "scan", "quantize"}),
        ("made.onnx", "weight_int4_mixed", {"calibrate", "round", "scan", "quantize"}),
        ("made.tflite", "weight_int4_mixed", {"calibrate", "round", "scan", "quantize"}),
        ("made.tflite", "static_int8", {"calibrate", "scan", "quantize"}),
    ],
)
def test_steps_of_a_recipe(file: str, recipe: str, steps: set[str], tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []
    start = time.perf_counter()
    report = export(
        *(models.kerashub_bert(), tmp_path / file, recipe),
        samples=models.bert_samples(32),
        length=models.LENGTH,
        progress=lambda *told: heard.append(told),
    )
    assert {f"{step} {file}" for step in steps} <= {step for step, _ in heard}
    assert all(before <= after for (_, before), (_, after) in itertools.pairwise(heard))
    assert heard[-1] == ("done", 1.0)
    assert steps == set(report.seconds) - {"reference", "start", "load", "lower", "verify"}
    assert sum(report.seconds.values()) <= time.perf_counter() - start + report.seconds["reference"]


def test_nobody_need_be_told() -> None:
    assert told(len, silent, "step", 1)("abc") == 3
