"""Float files, whoever made them, to smaller ones: verified, or refused by one clear error."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from kzoo import cli
from kzoo_export import RECIPES, RecipeError, VerificationError, export, inspect, quantize
from kzoo_export.artifact.files import load, run_batches
from kzoo_export.recipe import Tolerance
from kzoo_export.tflite import flatbuffer
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_nothing_left, check_written, recipes_of

pytestmark = pytest.mark.once

FORMATS = ("tflite", "onnx")
RANDOM = np.random.default_rng(0)
SAMPLES = {
    "token_ids": RANDOM.integers(0, models.VOCAB_SIZE, (32, models.LENGTH)).astype("int32"),
    "segment_ids": np.zeros((32, models.LENGTH), "int32"),
    "padding_mask": (
        np.arange(models.LENGTH) < RANDOM.integers(3, models.LENGTH, 32)[:, None]
    ).astype("int32"),
}
KINDS = {"padding_mask": "mask", "token_ids": "token_ids", "sequence_output": "hidden_states"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Float files of KerasHub's BERT, without a report beside them."""
    found = {}
    for format in FORMATS:
        found[format] = tmp_path_factory.mktemp(format) / f"float.{format}"
        export(models.kerashub_bert(), found[format], length=models.LENGTH)
        for report in found[format].parent.glob("*.report.*"):
            report.unlink()
    return found


@pytest.mark.parametrize(
    ("format", "recipe"),
    [(format, name) for format in FORMATS for name in recipes_of(format) if name != "float32"],
)
def test_every_recipe(files: dict[str, Path], format: str, recipe: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{format}"
    report = quantize(files[format], path, recipe, samples=SAMPLES, kinds=KINDS)
    check_written(report)
    assert report.route == "file"
    assert {output.kind for output in report.verification.outputs} == {"hidden_states", None}
    # Against the file itself: what the report says of half of the samples holds for all.
    expected, outputs = (run_batches(load(each), SAMPLES) for each in (files[format], path))
    for name, array in expected.items():
        error = np.linalg.norm(outputs[name] - array) / np.linalg.norm(array)
        assert 0 < error < 0.2
    assert path.stat().st_size < files[format].stat().st_size


# Keras writes TFLite files on TensorFlow alone.
KERAS = """
import keras, sys
inputs = keras.Input((16,), batch_size=1, name="features")
model = keras.Model(inputs, keras.layers.Dense(128)(keras.layers.Dense(64)(inputs)))
model.export(sys.argv[1], format="litert", verbose=False)
"""


def test_file_of_keras_itself(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", KERAS, str(tmp_path / "keras.tflite")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    report = quantize(tmp_path / "keras.tflite", tmp_path / "int8.tflite", "static_int8")
    assert report.verification.passed
    assert report.inspection.matmuls == {"int8": 2}
    assert "random samples" in report.samples


def test_file_without_a_signature(files: dict[str, Path], tmp_path: Path) -> None:
    model = flatbuffer.read(files["tflite"].read_bytes())
    model.signatureDefs = []
    names = [model.subgraphs[0].tensors[index].name.decode() for index in model.subgraphs[0].inputs]
    (tmp_path / "bare.tflite").write_bytes(flatbuffer.write(model))
    samples = dict(zip(names, SAMPLES.values(), strict=True))
    made = tmp_path / "made.tflite"
    report = quantize(tmp_path / "bare.tflite", made, "dynamic_int8", samples=samples)
    assert [tensor.name for tensor in report.inspection.inputs] == names


def renamed(source: Path, target: Path) -> None:
    """Call the inputs of an ONNX file as `transformers` does."""
    names = {
        "token_ids": "input_ids",
        "segment_ids": "token_type_ids",
        "padding_mask": "attention_mask",
    }
    model = onnx.load(source)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
    onnx.save(model, target)


def letters(texts: list[str], length: int | None) -> dict[str, np.ndarray]:
    """A tokenizer of letters, which makes the inputs of kzoo's models."""
    rows = [[ord(letter) % models.VOCAB_SIZE for letter in text][:length] for text in texts]
    ids = np.array([row + [0] * (models.LENGTH - len(row)) for row in rows], "int32")
    return {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids != 0}


def test_texts_and_the_names_of_transformers(files: dict[str, Path], tmp_path: Path) -> None:
    renamed(files["onnx"], tmp_path / "renamed.onnx")
    source, made = tmp_path / "renamed.onnx", tmp_path / "made.onnx"
    texts = ["".join(RANDOM.choice(list("abcdefghij"), 5)) for _ in range(16)]
    report = quantize(source, made, "dynamic_int8", samples=texts, tokenizer=letters)
    assert "16 given texts" in report.samples
    names = {tensor.name for tensor in report.inspection.inputs}
    assert names == {"input_ids", "token_type_ids", "attention_mask"}
    with pytest.raises(ValueError, match=r"`tokenizer` must make the inputs .*Received: input_ids"):
        quantize(source, made, "dynamic_int8", tokenizer=lambda texts, length: {}, samples=texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": None}, r"`samples` must be given, or a `tokenizer`: 'token_ids' holds"),
        ({"recipe": "float32"}, r"`recipe` must make numbers smaller"),
        ({"recipe": "int8"}, r"`recipe` must be the name of a recipe"),
        ({"path": "made.onnx"}, r"`path` must have the format of `source`, \.tflite"),
        ({"path": "float.tflite"}, r"`path` must be another file"),
        ({"kinds": {"hidden": "mask"}}, r"`kinds` must have names of inputs or outputs"),
        ({"source": "missing.tflite"}, r"`path` must be an existing file.*missing"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes(
    files: dict[str, Path], arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "float.tflite").write_bytes(files["tflite"].read_bytes())
    given: dict[str, Any] = {"source": "float.tflite", "path": "made.tflite", "samples": SAMPLES}
    given |= {"recipe": "dynamic_int8", **arguments}
    source, path = (tmp_path / given.pop(name) for name in ("source", "path"))
    with pytest.raises(ValueError, match=message):
        quantize(source, path, given.pop("recipe"), **given)
    check_nothing_left(tmp_path, "float.tflite")


@pytest.mark.parametrize("format", FORMATS)
def test_quantized_files_and_bad_ones_are_refused(
    files: dict[str, Path], format: str, tmp_path: Path
) -> None:
    made = tmp_path / f"made.{format}"
    quantize(files[format], made, "dynamic_int8", samples=SAMPLES)
    with pytest.raises(ValueError, match=r"`source` must be a float32 file.*'int8'"):
        quantize(made, tmp_path / f"again.{format}", "dynamic_int8", samples=SAMPLES)
    damaged = tmp_path / f"damaged.{format}"
    damaged.write_bytes(files[format].read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"`path` must be"):
        quantize(damaged, tmp_path / f"again.{format}", "dynamic_int8", samples=SAMPLES)
    assert not list(tmp_path.glob("again*"))


def test_what_is_too_far_is_not_kept(files: dict[str, Path], tmp_path: Path) -> None:
    strict = Tolerance(cosine_mean=1.0, cosine_min=1.0, max_abs=0.0, agreement=1.0)
    recipe = dataclasses.replace(RECIPES["dynamic_int8"], tolerance=strict)
    with pytest.raises(VerificationError, match="too far from its model"):
        quantize(files["tflite"], tmp_path / "made.tflite", recipe, samples=SAMPLES)
    check_nothing_left(tmp_path)


def test_static_file_without_integer_products(files: dict[str, Path], tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPES["static_int8"], max_loss=0.0)
    with pytest.raises(RecipeError, match=r"no product compute in integers: .*'int8 x float32': "):
        quantize(files["onnx"], tmp_path / "made.onnx", recipe, samples=SAMPLES, kinds=KINDS)
    check_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: np.repeat(array[:1], 16, axis=0), "must have different samples.*16 equal"),
        (lambda array: array * 0, "must have different samples"),
    ],
)
def test_calibration_that_says_nothing(
    files: dict[str, Path], change: Any, message: str, tmp_path: Path
) -> None:
    calibration = {name: change(array) for name, array in SAMPLES.items()}
    with pytest.raises(ValueError, match=message):
        quantize(
            *(files["tflite"], tmp_path / "made.tflite", "static_int8"),
            samples=SAMPLES,
            calibration=calibration,
        )


def test_rows_of_padding_alone(files: dict[str, Path], tmp_path: Path) -> None:
    calibration = SAMPLES | {"padding_mask": SAMPLES["padding_mask"].copy()}
    calibration["padding_mask"][3] = 0
    with pytest.raises(ValueError, match="1 of 32 rows that are padding alone"):
        quantize(
            *(files["tflite"], tmp_path / "made.tflite", "static_int8"),
            samples=SAMPLES,
            calibration=calibration,
            kinds=KINDS,
        )


def test_samples_that_calibrate_and_verify_are_said(files: dict[str, Path], tmp_path: Path) -> None:
    calibration = {name: array[:16] for name, array in SAMPLES.items()}
    report = quantize(
        *(files["tflite"], tmp_path / "made.tflite", "static_int16x8"),
        samples=SAMPLES,
        calibration=calibration,
        kinds=KINDS,
    )
    assert report.calibration == "16 given samples, 16 of which also verify"


def test_command(files: dict[str, Path], tmp_path: Path) -> None:
    arrays: dict[str, Any] = SAMPLES
    np.savez(tmp_path / "samples.npz", **arrays)
    arguments = ["quantize", str(files["tflite"]), str(tmp_path / "made.tflite"), "--json"]
    arguments += ["--samples", str(tmp_path / "samples.npz"), "--kind", "padding_mask=mask"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verification"]["passed"]
    assert inspect(tmp_path / "made.tflite").matmuls
