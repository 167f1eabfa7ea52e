"""The command line, as a user runs it."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from kzoo import cli

pytestmark = pytest.mark.once

SENTENCES = [f"sentence number {number} is about the sea" for number in range(8)]


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `kzoo` in its own process; every such run starts from nothing."""
    command = [sys.executable, "-m", "kzoo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny untrained BERT with a tokenizer, as a `.keras` file."""
    from tests.kzoo.models.tiny import tiny_backbone

    path = tmp_path_factory.mktemp("cli") / "tiny.keras"
    tiny_backbone(with_tokenizer=True).save(path)
    return path


@pytest.fixture(scope="module")
def exported(model):
    """That model as a quantized TFLite file, made by the command line."""
    path = model.parent / "tiny.tflite"
    samples = model.parent / "samples.txt"
    samples.write_text("\n".join([*SENTENCES, "", ""]), encoding="utf-8")
    options = ["--recipe", "dynamic_int8", "--length", "16", "--samples", str(samples), "--json"]
    done = run("export", str(model), str(path), *options)
    return path, json.loads(done.stdout)


def test_list_names_every_preset() -> None:
    presets = json.loads(run("list", "--json").stdout)
    assert {"bert_tiny", "bert_large", "minilm_l6_v2"} <= presets.keys()
    assert presets["bert_tiny"]["num_parameters"] == 4_385_920
    table = CliRunner().invoke(cli.app, ["list"], env={"COLUMNS": "160"})
    assert "4,385,920" in table.output


def test_info_describes_a_preset_without_a_backend() -> None:
    facts = json.loads(run("info", "bert_base", "--json").stdout)
    assert facts["num_parameters"] == 109_482_240
    assert facts["config"]["num_layers"] == 12


def test_info_looks_inside_a_file(exported) -> None:
    path, _ = exported
    facts = json.loads(run("info", str(path), "--json").stdout)
    assert [tensor["name"] for tensor in facts["inputs"]] == [
        "token_ids",
        "segment_ids",
        "padding_mask",
    ]
    assert facts["ops"]["FULLY_CONNECTED"] > 0
    assert facts["custom_ops"] == []


def test_export_reports_what_it_wrote(exported) -> None:
    path, report = exported
    assert path.stat().st_size == report["size"]
    assert report["recipe"] == "dynamic_int8"
    assert report["verification"]["passed"]
    assert report["verification"]["num_samples"] == len(SENTENCES)
    assert path.with_name("tiny.tflite.report.json").is_file()


def test_verify_passes_the_file_and_fails_another_model(exported, model, tmp_path) -> None:
    from tests.kzoo.models.tiny import tiny_backbone

    path, _ = exported
    assert json.loads(run("verify", str(path), str(model), "--json").stdout)["passed"]
    other = tmp_path / "other.keras"
    tiny_backbone(with_tokenizer=True, seed=7).save(other)
    assert "FAILED" in run("verify", str(path), str(other), code=1).stdout


def test_bench_times_files_side_by_side(exported) -> None:
    path, _ = exported
    done = run("bench", str(path), str(path), "--repeats", "5", "--threads", "1", "--json")
    (latency, *_) = json.loads(done.stdout)["latencies"].values()
    assert latency["median"] > 0
    assert latency["repeats"] >= 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "minilm_l6_v3"), "minilm_l6_v2"),
        (("export", "bert_tinny", "x.tflite"), "bert_tiny"),
    ],
    ids=["info", "export"],
)
def test_a_mistake_is_one_line_and_exit_code_1(arguments, message) -> None:
    done = run(*arguments, code=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    machine = run(*arguments, "--json", code=1)
    assert message in json.loads(machine.stdout)["message"]


@pytest.mark.parametrize("command", ["list", "info", "export", "verify", "bench", "demo"])
def test_every_command_has_help_with_an_example(command) -> None:
    result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert f"kzoo {command}" in result.output.split("Example")[1]


def test_a_backend_that_is_absent_is_replaced_by_one_that_is_installed(
    monkeypatch, tmp_path
) -> None:
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    monkeypatch.setattr(cli, "find_spec", lambda name: name == "jax" or None)
    cli._choose_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"
