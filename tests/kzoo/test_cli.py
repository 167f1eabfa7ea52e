"""The command line, as a user runs it."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import keras
import pytest
from typer.testing import CliRunner

import kzoo_export
from kzoo import cli
from kzoo.cli import backend
from kzoo.models import PRESETS
from tests.commands import run

pytestmark = pytest.mark.once

SENTENCES = [f"sentence number {number} is about the sea" for number in range(8)]


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Run `kzoo` in this process, which takes no start; return what it writes to both streams."""

    def call(*arguments: object, code: int = 0) -> Any:
        monkeypatch.setattr(sys, "argv", ["kzoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        written = capsys.readouterr()
        assert end.value.code == code, written
        return written

    return call


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


def test_dry_run_makes_nothing(run_main, model, tmp_path) -> None:
    path = tmp_path / "a.onnx"
    options = ["--recipe", "float16", "--length", "16", "--dry-run", "--json"]
    plan = json.loads(run_main("export", model, path, *options).out)
    assert (plan["spec"]["route"], plan["recipe"]["name"]) == ("torch", "float16")
    assert list(tmp_path.iterdir()) == []


def test_folder_is_usable_alone(model, tmp_path) -> None:
    folder = tmp_path / "new" / "files"
    options = ["--folder", str(folder), "--length", "16", "--json"]
    run("export", str(model), "a.tflite", *options)
    assert {"a.tflite", "a.tflite.report.json", "example.py"} <= {f.name for f in folder.iterdir()}
    # The vocabulary has no token of the example; the file runs nevertheless.
    command = [sys.executable, str(folder / "example.py")]
    subprocess.run(command, capture_output=True, check=True, timeout=300)


def test_folder_is_gone_after_a_failure(run_main, model, tmp_path) -> None:
    options = ["--folder", str(tmp_path / "new" / "files"), "--recipe", "int9", "--json"]
    written = run_main("export", model, "a.tflite", *options, code=1)
    assert "`recipe`" in json.loads(written.out)["message"]
    assert list(tmp_path.iterdir()) == []
    options = ["--folder", str(tmp_path), "--json"]
    for name in ("sub/a.tflite", str(tmp_path / "a.tflite")):
        written = run_main("export", model, name, *options, code=1)
        assert "`--folder`" in json.loads(written.out)["message"]


def test_list_names_every_preset() -> None:
    presets = json.loads(run("list", "--json").stdout)
    assert {"bert_tiny", "bert_large", "minilm_l6_v2"} <= presets.keys()
    assert presets["bert_tiny"]["num_parameters"] == 4_385_920


@pytest.mark.parametrize("columns", ["80", "40"])
def test_list_folds_no_name(columns) -> None:
    table = CliRunner().invoke(cli.app, ["list"], env={"COLUMNS": columns}).output
    assert set(PRESETS) <= {line.split(" ")[0] for line in table.splitlines()}


def test_list_fits_80_columns() -> None:
    table = CliRunner().invoke(cli.app, ["list"], env={"COLUMNS": "80"}).output
    assert max(map(len, table.splitlines())) <= 80
    assert "license" in table
    assert "4.4 M" in table
    assert "…" not in table


def test_list_imports_neither_a_backend_nor_the_exporter() -> None:
    script = "from kzoo import cli; import sys; cli.app(['list'], standalone_mode=False); "
    script += "sys.exit(' '.join({'torch', 'jax', 'tensorflow', 'kzoo_export'} & {*sys.modules}))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr.strip() == ""


def test_info_describes_a_preset_without_a_backend() -> None:
    facts = json.loads(run("info", "bert_base", "--json").stdout)
    assert facts["num_parameters"] == 109_482_240
    assert facts["config"]["num_layers"] == 12


@pytest.mark.parametrize("name", PRESETS)
def test_info_fits_80_columns_uncut(name) -> None:
    table = CliRunner().invoke(cli.app, ["info", name], env={"COLUMNS": "80"}).output
    assert max(map(len, table.splitlines())) <= 80
    assert PRESETS[name].hub in table
    assert "…" not in table


def test_info_prints_brackets_as_they_are(model) -> None:
    path = model.with_name("[red]tiny.keras")
    path.write_bytes(model.read_bytes())
    table = CliRunner().invoke(cli.app, ["info", str(path)], env={"COLUMNS": "200"}).output
    assert "[red]tiny.keras" in table
    assert "[None, None]" in table


def test_inspect_looks_inside_a_file(run_main, exported) -> None:
    path, _ = exported
    facts = json.loads(run_main("inspect", path, "--json").out)
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
    assert report["recipe"]["name"] == "dynamic_int8"
    assert report["verification"]["passed"]
    assert report["verification"]["num_samples"] == len(SENTENCES)
    assert path.with_name("tiny.tflite.report.json").is_file()


def test_verify_passes_the_file_and_fails_another_model(
    run_main, exported, model, tmp_path
) -> None:
    from tests.kzoo.models.tiny import tiny_backbone

    path, _ = exported
    assert json.loads(run_main("verify", path, model, "--json").out)["passed"]
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
    ("command", "arguments"),
    [("export", ["model.keras", "x.onnx"]), ("verify", ["x.onnx", "model.keras"])],
    ids=["export", "verify"],
)
@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ([], None),
        (
            ["--kind", "scores=class_logits", "--kind", "valid=mask"],
            {"scores": "class_logits", "valid": "mask"},
        ),
    ],
    ids=["none", "two"],
)
def test_kinds_reach_the_exporter(monkeypatch, command, arguments, options, kinds) -> None:
    received = {}

    def called(*args: Any, **given: Any) -> SimpleNamespace:
        received.update(given)
        return SimpleNamespace(passed=True, to_dict=dict)

    monkeypatch.setattr(kzoo_export, command, called)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    monkeypatch.setattr(f"kzoo.cli.{command}.load_task", lambda source, task: model)
    result = CliRunner().invoke(cli.app, [command, *arguments, *options, "--json"])
    assert result.exit_code == 0, result.output
    assert received["kinds"] == kinds
    assert "length" not in received  # the model fixes it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "minilm_l6_v3"), "minilm_l6_v2"),
        (("info", "model.tflite"), "`kzoo inspect model.tflite`"),
        (("export", "bert_tinny", "x.tflite"), "bert_tiny"),
        (("export", "bert_tiny", "x.tflite", "--kind", "pooled"), "NAME=KIND"),
        (("export", "bert_tiny", "x.onnx", "--length", "many"), "`open`. Received: many"),
        (("verify", "x.tflite", "bert_tiny", "--kind", "=mask"), "Received: '=mask'"),
    ],
    ids=["info", "info FILE", "export", "export --kind", "export --length", "verify --kind"],
)
def test_mistake_is_one_line_and_exit_code_1(run_main, arguments, message) -> None:
    written = run_main(*arguments, code=1)
    (line,) = [line for line in written.err.splitlines() if line.startswith("Error:")]
    assert message in line
    assert "Traceback" not in written.err
    written = run_main(*arguments, "--json", code=1)
    assert message in json.loads(written.out)["message"]


@pytest.mark.parametrize("command", [each.name for each in cli.app.registered_commands])
def test_every_command_has_help_with_an_example(command) -> None:
    result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert f"kzoo {command}" in result.output.split("Example")[1]


def test_export_help_lists_every_recipe_and_route() -> None:
    from kzoo_export import RECIPES
    from kzoo_export.lowering.routes import ROUTES

    result = CliRunner().invoke(cli.app, ["export", "--help"], env={"COLUMNS": "160"})
    for name in (*RECIPES, *ROUTES):
        assert name in result.output.split("Options")[1]


def test_backend_that_is_absent_is_replaced_by_one_that_is_installed(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    monkeypatch.setattr(backend, "find_spec", lambda name: name == "jax" or None)
    backend.choose_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_only_native_libraries_are_silenced() -> None:
    code = (
        "import os, sys\n"
        "from kzoo.cli.output import native_logs_hidden\n"
        "with native_logs_hidden():\n"
        "    os.write(2, b'I0000 chatter\\n'); print('a warning', file=sys.stderr)\n"
        "os.write(2, b'afterwards\\n')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    for level, shown in (({}, "a warning\nafterwards\n"), ({"TF_CPP_MIN_LOG_LEVEL": "0"}, "I0000")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **level},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr.startswith(shown)
