"""Targets: the operations that kinds of hardware take, and files that run as they run there."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from kzoo import cli
from kzoo_export import (
    RECIPES,
    TargetError,
    VerificationError,
    compatibility,
    export,
    quantize,
)
from kzoo_export.hardware import TARGETS
from kzoo_export.recipe import Recipe
from kzoo_export.tflite import flatbuffer
from tests.kzoo_export import models

pytestmark = pytest.mark.once

INTEGERS = {
    name: dataclasses.replace(RECIPES[name], float_io=False)
    for name in ("static_int8", "static_int16x8")
}
# A recipe whose file of a small network for images each target takes, and one whose file it does
# not, with the operation that is named.
TAKEN: dict[str, str | Recipe] = {
    "cpu": "dynamic_int8",
    "gpu": "float16",
    "npu_int8": INTEGERS["static_int8"],
    "npu_int16": "static_int16x8",
    "microcontroller": "static_int8",
}
NOT_TAKEN: dict[str, tuple[str | Recipe, str]] = {
    "gpu": ("static_int16x8", "CONV_2D: it has no kernel for int16"),
    "npu_int8": ("float32", "CONV_2D: it has no kernel for float32"),
    "npu_int16": ("dynamic_int8", "CONV_2D: it has no kernel for float32"),
    "microcontroller": ("dynamic_int8", "CONV_2D: its weight is int8, beside float activations"),
}


@pytest.fixture(scope="module")
def network() -> tuple[keras.Model, dict[str, Any]]:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(48, 3, activation="relu"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(16, name="features"),
        ]
    )
    random = np.random.default_rng(0)
    images = [random.uniform(size=(16, 12, 12, 3)).astype("float32") for _ in range(2)]
    return model, {"samples": images[0], "calibration": images[1]}


@pytest.mark.parametrize("target", TARGETS)
def test_taken(network: tuple[keras.Model, dict[str, Any]], target: str, tmp_path: Path) -> None:
    model, given = network
    path = tmp_path / "taken.tflite"
    report = export(model, path, TAKEN[target], target=target, **given)
    assert report.target is not None
    assert report.target.startswith(f"{target}: all operations are taken by ")
    assert report.target in " ".join(report.to_markdown().split())
    assert compatibility(path, target).passed
    assert ("4 samples pass in tflite-micro" in report.target) == (target == "microcontroller")


@pytest.mark.parametrize("target", NOT_TAKEN)
def test_not_taken(
    network: tuple[keras.Model, dict[str, Any]], target: str, tmp_path: Path
) -> None:
    model, given = network
    recipe, reason = NOT_TAKEN[target]
    with pytest.raises(TargetError, match=f"target '{target}' does not take.*by .*202") as caught:
        export(model, tmp_path / "made.tflite", recipe, target=target, **given)
    assert reason in caught.value.refused
    assert f" {reason}" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_custom_operations_are_not_taken(
    network: tuple[keras.Model, dict[str, Any]], tmp_path: Path
) -> None:
    export(network[0], path := tmp_path / "float32.tflite")
    model = flatbuffer.read(path.read_bytes())
    model.operatorCodes[0].customCode = "FlexErf"
    path.write_bytes(flatbuffer.write(model))
    for target in TARGETS:
        assert "FlexErf: a custom operation" in compatibility(path, target).refused


@pytest.mark.parametrize(
    ("recipe", "on_cpu"), [(INTEGERS["static_int8"], False), ("static_int8", True)]
)
def test_npu_agrees_with_its_compiler(
    network: tuple[keras.Model, dict[str, Any]], recipe: Any, on_cpu: bool, tmp_path: Path
) -> None:
    pytest.importorskip("ethosu.vela")
    export(network[0], path := tmp_path / "integers.tflite", recipe, **network[1])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ethosu.vela", str(path)),
            *("--output-dir", str(tmp_path), "--accelerator-config", "ethos-u55-128"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    counted = re.search(r"CPU operators = (\d+)", done.stdout)
    assert counted is not None
    assert (int(counted[1]) > 0) == on_cpu
    assert compatibility(path, "npu_int8").passed != on_cpu


def test_lookups_have_flat_indices_on_gpus(tmp_path: Path) -> None:
    export(models.kerashub_bert(), path := tmp_path / "bert.tflite", length=8)
    refused = compatibility(path, "gpu").refused
    assert "GATHER: its indices have 2 axes, more than 1" in refused
    assert "SELECT: there is no such operation" in compatibility(path, "microcontroller").refused


def test_axes_of_gpus(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 4), name="image")
    model = keras.Model(image, {"cut": keras.layers.Reshape((2, 2, 4, 4))(image)})
    export(model, path := tmp_path / "cut.tflite")
    assert compatibility(path, "gpu").refused == {"RESHAPE: it has 5 axes, more than 4": 1}
    export(model, path, batch_size=None)
    assert "RESHAPE: its shapes are open" in compatibility(path, "microcontroller").refused
    assert compatibility(path, "cpu").passed


def test_other_numbers_in_the_runtime_of_microcontrollers(
    network: tuple[keras.Model, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kzoo_export import hardware

    compare = hardware.compare

    def off(runner: Any, trials: Any, *others: Any) -> Any:
        wrong = [
            dataclasses.replace(
                trial, outputs={name: -array for name, array in trial.outputs.items()}
            )
            for trial in trials
        ]
        return compare(runner, wrong, *others)

    monkeypatch.setattr(hardware, "compare", off)
    with pytest.raises(VerificationError, match="static_int8, in tflite-micro"):
        export(
            *(network[0], tmp_path / "made.tflite", "static_int8"),
            target="microcontroller",
            **network[1],
        )
    assert not list(tmp_path.iterdir())


def test_files_of_others(network: tuple[keras.Model, dict[str, Any]], tmp_path: Path) -> None:
    model, given = network
    export(model, source := tmp_path / "float32.tflite")
    made = tmp_path / "made.tflite"
    with pytest.raises(TargetError, match=r"made\.tflite has .* 'npu_int8'"):
        quantize(source, made, "static_int8", target="npu_int8", **given)
    assert not made.exists()
    assert quantize(source, made, INTEGERS["static_int8"], target="npu_int8", **given).target


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        (
            "a.tflite",
            "npu",
            r"`target` must be a kind of hardware.*Received: target='npu'.*npu_int8",
        ),
        ("a.onnx", "gpu", r"`target` must be 'cpu' for an .onnx file.*Received: target='gpu'"),
    ],
)
def test_unknown_targets(
    network: tuple[keras.Model, dict[str, Any]],
    name: str,
    target: str,
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=message):
        export(network[0], tmp_path / name, target=target)
    assert not list(tmp_path.iterdir())


def test_onnx_runs_on_cpus(network: tuple[keras.Model, dict[str, Any]], tmp_path: Path) -> None:
    report = export(network[0], path := tmp_path / "a.onnx", target="cpu")
    assert report.target is not None
    assert "ONNX Runtime" in report.target
    assert compatibility(path, "cpu").passed


def test_command_names_what_is_not_taken(
    network: tuple[keras.Model, dict[str, Any]], tmp_path: Path
) -> None:
    export(network[0], path := tmp_path / "float32.tflite")
    for target, code in (("gpu", 0), ("npu_int8", 1)):
        done = CliRunner().invoke(cli.app, ["inspect", str(path), "--target", target, "--json"])
        assert done.exit_code == code
        assert bool(json.loads(done.stdout)["refused"]) == bool(code)
