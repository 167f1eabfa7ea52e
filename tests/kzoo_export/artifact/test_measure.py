"""What is measured besides accuracy: the time against the float32 file."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from kzoo_export import Report, export
from kzoo_export.artifact import measure
from kzoo_export.artifact.files import load
from kzoo_export.samples import Samples
from kzoo_export.spec import Signature, Spec, TensorSpec
from kzoo_export.trials import Trial
from tests.kzoo_export import models

pytestmark = pytest.mark.once


class Sleeper:
    """Stands in for a loaded file: takes the given time for each call."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", (1, 2), "float32"),)
    outputs = inputs

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        return dict(feed)


def test_latency_is_taken_in_turns_with_the_float32_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "load", lambda path, threads: Sleeper(0.01))
    trial = Trial(Samples({"x": np.zeros((1, 2), "float32")}, ""), {}, 1)
    latency, ratio = measure._time(Sleeper(0.03), trial, Path("float32.tflite"))
    assert 30 <= latency.median < 45
    assert ratio == pytest.approx(3.0, rel=0.3)
    assert measure._time(Sleeper(0.0), trial, None)[1] is None


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    path = tmp_path_factory.mktemp("measured") / "a.tflite"
    return export(models.image_classifier(), path, "dynamic_int8")


def test_report_has_the_ratio_and_the_log(report: Report) -> None:
    assert report.latency_ratio is not None
    assert 0 < report.latency_ratio < 100
    assert f"{report.latency_ratio:.2f} of float32" in str(report)
    assert isinstance(report.to_dict()["log"], list | tuple)


@pytest.mark.parametrize(("ratio", "slow"), [(3.0, True), (1.0, False)])
def test_slower_files_carry_a_warning(
    ratio: float, slow: bool, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    path, inspection = Path(report.path), report.inspection
    spec = Spec("tflite", "tensorflow", (Signature(inspection.inputs, inspection.outputs),))
    origin = measure.Origin(path, spec, report.recipe, path, report.float_bytes, None, 0, {})
    image = np.zeros((1, *inspection.inputs[0].shape[1:]), "float32")
    outputs = load(path)({"image": image})
    reference = measure.Reference(
        (Trial(Samples({"image": image}, ""), outputs, 1),), "jax", report.float_size, 0.0
    )
    monkeypatch.setattr(measure, "_time", lambda *arguments: (report.latency, ratio))
    warnings = measure.measure(path, origin, reference).warnings
    assert any("3.0 times as slow as the float32 file" in text for text in warnings) == slow
