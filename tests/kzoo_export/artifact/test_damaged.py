"""Damaged and hostile files: one clear error each, whatever becomes of the runtime."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from kzoo import cli
from kzoo_export import ExportError, Report, benchmark, export, inspect, verify
from kzoo_export.artifact import isolated as isolated_module
from kzoo_export.artifact.isolated import isolated

pytestmark = pytest.mark.once

Exported = tuple[keras.Model, dict[str, Report]]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """Turn every 97th byte."""
    damaged = bytearray(content)
    for place in range(0, len(damaged), 97):
        damaged[place] ^= 0xFF
    return bytes(damaged)


def another(content: bytes) -> bytes:
    return b"a page that says 404" + content[20:]


def of_zeros(content: bytes) -> bytes:
    """Keep the identifier, so that a reader goes on."""
    return content[:16] + bytes(len(content) - 16)


def pointing_outside(content: bytes) -> bytes:
    """Let the first offset of the file point behind its end."""
    return (2**31 - 9).to_bytes(4, "little") + content[4:]


DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    halved,
    flipped,
    another,
    of_zeros,
    pointing_outside,
    lambda content: b"",
)


@pytest.fixture(scope="module")
def files(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    model, reports = exported
    path = tmp_path_factory.mktemp("whole") / "model.onnx"
    export(model, path)
    whole = {"tflite": Path(reports["float32"].path), "onnx": path}
    return {format: path.read_bytes() for format, path in whole.items()}


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_files_are_one_clear_error(
    damage: Callable[[bytes], bytes],
    format: str,
    files: dict[str, bytes],
    exported: Exported,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"model.{format}"
    path.write_bytes(damage(files[format]))
    model, _ = exported
    calls: tuple[Callable[[], object], ...] = (
        lambda: verify(path, model),
        lambda: benchmark([path], repeats=1),
    )
    for call in calls:
        with pytest.raises((ValueError, ExportError), match=f"path|model.{format}"):
            call()
    # A graph may be whole where weights are not.
    with contextlib.suppress(ValueError):
        inspect(path)
    result = CliRunner().invoke(cli.app, ["inspect", str(path)])
    assert result.exception is None or "`path` must be" in str(result.exception)


def test_runtime_that_dies(exported: Exported) -> None:
    """As by a file that makes native code write where it must not."""
    _, reports = exported
    feed = {"words": np.zeros((1, 12), "int32"), "numbers": np.zeros((1, 32), "float32")}
    with isolated(reports["float32"].path) as runner:
        assert set(runner(feed)) == {"topic", "age"}
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGSEGV)
        with pytest.raises(ExportError, match=r"float32\.tflite failed.*signal SIGSEGV"):
            runner(feed)


def test_loading_that_never_ends(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    _, reports = exported
    monkeypatch.setattr(isolated_module, "_LOADING_LIMIT", 0.01)
    start = time.monotonic()
    with (
        pytest.raises(ValueError, match=r"whole file.*SIGKILL"),
        isolated(reports["float32"].path),
    ):
        pass
    assert time.monotonic() - start < 60


def test_inputs_may_have_any_name(tmp_path: Path) -> None:
    inputs = {name: keras.Input((4,), name=name) for name in ("file", "args", "arr_0")}
    model = keras.Model(inputs, {"kwds": inputs["file"] - 2.0 * inputs["arr_0"] + inputs["args"]})
    report = export(model, tmp_path / "a.tflite")
    assert verify(report.path, model).passed
