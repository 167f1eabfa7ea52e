"""The child process: what it cannot survive is told, and what it may not outlive ends it."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from kzoo_export import ExportError, export
from kzoo_export.lowering import process
from kzoo_export.source.saving import collect
from kzoo_export.spec import Signature, Spec, TensorSpec
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_nothing_left
from tests.kzoo_export.preload import REAL_COMMAND

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def start_as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the children as the package does, not as the other tests do."""
    monkeypatch.setattr(process, "_command", REAL_COMMAND)


SIGNATURE = Signature((TensorSpec("x", (1, 2), "float32"),), ())
SPEC = Spec("tflite", "tensorflow", (SIGNATURE,), portable=True)


def run_in_place_of_the_child(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, float]]:
    monkeypatch.setattr(process, "_command", lambda *folders: [sys.executable, "-c", code])
    steps: list[tuple[str, float]] = []
    with process.lowering(folder, SPEC, folder / "job") as result:
        result(lambda *step: steps.append(step))
    return steps


def test_what_frameworks_print_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job" / "float32.tflite"
    code = f"import os; open({str(file)!r}, 'w'); os.write(2, b'chatter\\n')"
    monkeypatch.setattr(process, "_command", lambda *folders: [sys.executable, "-c", code])
    with process.lowering(tmp_path, SPEC, tmp_path / "job") as result:
        made = result(lambda *step: None)
    assert made.log == ("chatter",)
    assert capfd.readouterr() == ("", "")


def test_spec_survives_json() -> None:
    import json

    assert Spec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_killed_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, signal; print('half way', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(
        ExportError, match=r"killed by SIGKILL \(often for lack of memory\)"
    ) as told:
        run_in_place_of_the_child(code, tmp_path, monkeypatch)
    assert "half way" in str(told.value)


def test_last_useful_lines_of_a_failing_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "print('WARNING: All log messages before absl'); print('I0000 00:00 chatter')\n"
        "[print(f'line {i}') for i in range(40)]; raise SystemExit(3)"
    )
    with pytest.raises(ExportError, match="ended with status 3") as told:
        run_in_place_of_the_child(code, tmp_path, monkeypatch)
    assert "line 39" in str(told.value)
    assert "line 2\n" not in str(told.value)
    assert "chatter" not in str(told.value)


def test_child_that_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match="made no file"):
        run_in_place_of_the_child("", tmp_path, monkeypatch)


def test_interrupted_parent_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    def interrupt(step: str, fraction: float) -> None:
        if step == "load":
            raise KeyboardInterrupt

    code = "import time; print('kzoo-progress load 0.0', flush=True); time.sleep(600)"
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(process, "_command", lambda *folders: [sys.executable, "-c", code])
    with (
        pytest.raises(KeyboardInterrupt),
        process.lowering(tmp_path, SPEC, tmp_path / "job") as result,
    ):
        result(interrupt)
    assert started[0].returncode == -signal.SIGKILL


def test_failure_midway_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that the child cannot import: its own words reach the user."""
    target = tmp_path / "target"
    target.mkdir()
    model = models.user_layers(tmp_path)
    others = [entry for entry in sys.path if not Path(entry, "user_layers.py").exists()]
    monkeypatch.setattr(sys, "path", others)
    monkeypatch.setattr("kzoo_export.source.saving._importable", lambda value: True)
    with pytest.raises(ExportError, match="No module named 'user_layers'"):
        export(model, target / "a.tflite")
    check_nothing_left(target)


def model_of_a_cell(module: str) -> keras.Model:
    source = models.USER_MODULE.replace("user_layers", f"user_{module}")
    scope: dict[str, Any] = {"__name__": module}
    exec(compile(source, "<cell>", "exec"), scope)  # noqa: S102 (this is how a notebook runs)
    inputs = keras.Input((32,), name="features")
    return keras.Model(inputs, scope["Gated"](64)(inputs))


def test_classes_of_a_script_travel_with_their_code(tmp_path: Path) -> None:
    report = export(model_of_a_cell("__main__"), tmp_path / "a.tflite")
    assert report.verification.passed


def test_modules_are_imported_where_a_new_process_finds_them(tmp_path: Path) -> None:
    found = collect(models.user_layers(tmp_path))
    assert found.imported == (("user_layers>Gated", "user_layers", "Gated"),)
    assert found.pickled is None
    found = collect(model_of_a_cell("a_module_of_no_file"))
    assert found.imported == ()
    assert found.pickled is not None
    ((name, value),) = pickle.loads(found.pickled)  # noqa: S301 (made in the line above)
    assert (name, value.__name__) == ("user_a_module_of_no_file>Gated", "Gated")


TERMINATED = """
import keras
from kzoo_export import export
print("ready", flush=True)
export(keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)]), "model.onnx")
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_terminated_export_leaves_no_child(ending: signal.Signals, tmp_path: Path) -> None:
    """A job's time limit: the folder can hold gigabytes, the child computes for nobody."""
    temporary, there = tmp_path / "temporary", tmp_path / "there"
    temporary.mkdir()
    there.mkdir()
    search = os.pathsep.join(sys.path)
    # PyTorch makes a folder of its own there.
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": search}
    environment["KERAS_BACKEND"] = "jax"
    with subprocess.Popen(
        [sys.executable, "-c", TERMINATED], cwd=there, env=environment, stdout=subprocess.PIPE
    ) as process:
        wait_until(
            lambda: (
                process.poll() is not None
                or (list(temporary.glob("kzoo-*/torch/*")) and children_of(process.pid))
            )
        )
        (child,) = children_of(process.pid)
        process.send_signal(ending)
        process.wait(60)
    wait_until(lambda: not Path(f"/proc/{child}/cmdline").exists())
    assert list(there.iterdir()) == []
    if ending == signal.SIGTERM:
        assert process.returncode == 128 + signal.SIGTERM
        assert list(temporary.iterdir()) == []


def wait_until(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited for a minute")


def children_of(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]
