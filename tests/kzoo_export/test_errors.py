"""Bad input: one clear error, and no file."""

import dataclasses
import errno
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export import (
    RECIPES,
    ExportError,
    Recipe,
    RecipeError,
    Report,
    Tolerance,
    VerificationError,
    export,
    export_all,
)
from kzoo_export.artifact import files
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_nothing_left

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def bert() -> keras.Model:
    return models.kerashub_bert()


@pytest.fixture(scope="module")
def dense() -> keras.Model:
    return models.two_in_two_out()


def refused(model: keras.Model, path: Path, *patterns: str, **options: Any) -> None:
    """Exporting fails with a message that has every pattern, and leaves no file."""
    before = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    with pytest.raises(ValueError, match=patterns[0]) as caught:
        export(model, path, **options)
    for pattern in patterns:
        assert pattern.replace("\\", "") in str(caught.value)
    if path.parent.is_dir():
        check_nothing_left(path.parent, *before)


def test_unknown_recipe_has_close_matches(dense: keras.Model, tmp_path: Path) -> None:
    refused(dense, tmp_path / "a.tflite", "dynamic_in8", "dynamic_int8", recipe="dynamic_in8")


@pytest.mark.parametrize("name", ["a.pb", "a", "a.tflite.txt"])
def test_wrong_suffix(dense: keras.Model, tmp_path: Path, name: str) -> None:
    refused(dense, tmp_path / name, "`path` must end in `.tflite` or `.onnx`")


def test_route_of_another_format(dense: keras.Model, tmp_path: Path) -> None:
    refused(dense, tmp_path / "a.tflite", "`route` must be a route to tflite", route="tf2onnx")


def test_no_target(dense: keras.Model) -> None:
    with pytest.raises(ValueError, match="at least one file"):
        export_all(dense, {})


def test_missing_folder(dense: keras.Model, tmp_path: Path) -> None:
    refused(dense, tmp_path / "none" / "a.tflite", "`path` must be in an existing folder")


def test_folder_in_place_of_the_file(dense: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").mkdir()
    refused(dense, tmp_path / "a.tflite", "must be a file, not a folder")


def test_unwritable_folder(
    dense: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not bind the superuser, as which tests may run.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused(dense, tmp_path / "a.tflite", "`path` must be in a writable folder")


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
@pytest.mark.parametrize("name", ["length", "batch_size"])
def test_impossible_sizes(dense: keras.Model, tmp_path: Path, name: str, value: Any) -> None:
    refused(dense, tmp_path / "a.tflite", f"`{name}` must be a positive integer", **{name: value})


def test_open_axis_without_length(bert: keras.Model, tmp_path: Path) -> None:
    refused(bert, tmp_path / "a.tflite", "`length` must be given", "token_ids")


def test_batch_size_that_the_model_fixes(tmp_path: Path) -> None:
    inputs = keras.Input((4,), batch_size=3)
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    refused(model, tmp_path / "a.tflite", "`batch_size` must be 3")


def test_model_that_was_never_built(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    refused(model, tmp_path / "a.tflite", "`model` must have known inputs")


def test_subclassed_model_without_a_graph(tmp_path: Path) -> None:
    class Plain(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    refused(Plain(), tmp_path / "a.tflite", "`model` must be")


def test_unregistered_layer_is_named_with_its_cure(tmp_path: Path) -> None:
    class Homemade(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Homemade()(inputs))
    refused(model, tmp_path / "a.tflite", "Homemade", "@keras.saving.register_keras_serializable")


def test_lambda_layer(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    doubled = keras.layers.Lambda(lambda x: x * 2, name="double")
    nested = keras.Sequential([keras.Input((4,)), doubled])
    refused(keras.Model(inputs, nested(inputs)), tmp_path / "a.tflite", "Lambda", "double")


def good_samples() -> dict[str, np.ndarray]:
    return models.bert_samples(4)


def changed(name: str, value: Any) -> dict[str, np.ndarray]:
    return {**good_samples(), name: value}


@pytest.mark.parametrize(
    ("samples", "patterns"),
    [
        (changed("token_id", np.zeros((4, 12), int)), ("token_id'", "Did you mean: token_ids")),
        ({"token_ids": np.zeros((4, 12), int)}, ("every input", "segment_ids, padding_mask")),
        (changed("token_ids", np.zeros((4, 11), int)), ("(N, 12)", "shape=(4, 11)")),
        (changed("token_ids", np.zeros((4,), int)), ("(N, 12)", "shape=(4,)")),
        (changed("token_ids", np.zeros((4, 12))), ("integers", "dtype=float64")),
        (changed("token_ids", np.full((4, 12), "a")), ("integers", "dtype=<U1")),
        (changed("token_ids", np.zeros((3, 12), int)), ("same number of rows", "'token_ids': 3")),
        (changed("token_ids", np.full((4, 12), 50)), ("from 0 to 49", "50")),
        (changed("token_ids", np.full((4, 12), -1)), ("from 0 to 49", "-1")),
        (changed("segment_ids", np.full((4, 12), 2)), ("segment_ids", "from 0 to 1")),
        ({n: v[:0] for n, v in good_samples().items()}, ("at least one",)),
        ([], ("at least one sample",)),
        (["a text"], ("`tokenizer`", "dictionary of arrays")),
        ("a text", ("a list of texts",)),
        (7, ("dictionary of arrays", "int")),
    ],
)
@pytest.mark.parametrize("argument", ["samples", "calibration"])
def test_bad_samples(
    bert: keras.Model, tmp_path: Path, argument: str, samples: Any, patterns: tuple[str, ...]
) -> None:
    path, options = tmp_path / "a.tflite", {argument: samples, "length": models.LENGTH}
    with pytest.raises(ValueError, match=f"`{argument}") as caught:
        export(bert, path, **options)
    for pattern in patterns:
        assert pattern in str(caught.value)
    check_nothing_left(tmp_path)


def test_samples_that_are_not_finite(dense: keras.Model, tmp_path: Path) -> None:
    samples = {"words": np.zeros((2, 12), int), "numbers": np.full((2, 32), np.nan)}
    refused(dense, tmp_path / "a.tflite", "numbers", "must be finite", samples=samples)


def test_vocabulary_of_a_nested_model(dense: keras.Model, tmp_path: Path) -> None:
    words = keras.Input((12,), dtype="int32", name="terms")
    numbers = keras.Input((32,), name="values")
    model = keras.Model([words, numbers], dense([words, numbers]))
    samples = {"terms": np.full((2, 12), 50), "values": np.zeros((2, 32))}
    refused(model, tmp_path / "a.tflite", "terms", "from 0 to 49", samples=samples)


def test_model_that_gives_nan(tmp_path: Path) -> None:
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.ops.log(inputs))
    refused(model, tmp_path / "a.tflite", "finite", samples={"x": -np.ones((2, 4))})


@pytest.mark.parametrize("name", ["a.tflite", "a.onnx"])
def test_rows_of_nan_that_no_sample_looks_up(name: str, tmp_path: Path) -> None:
    indices = keras.Input((8,), dtype="int32", name="x")
    table = keras.layers.Embedding(100, 64)
    model = keras.Model(indices, table(indices))
    table.set_weights([np.where(np.arange(100)[:, None] == 77, np.nan, np.ones((100, 64)))])
    samples = {"x": np.arange(64).reshape(8, 8)}
    for recipe in ("float16", "dynamic_int8", "static_int8"):
        with pytest.raises(ValueError, match=r"`model` must have finite weights.*Received: NaN"):
            export(model, tmp_path / name, recipe, samples=samples, calibration=samples)
    check_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("module", "name", "route", "extra"),
    [
        ("tensorflow", "a.tflite", None, "tflite"),
        ("ai_edge_litert", "a.tflite", None, "tflite"),
        ("onnxscript", "a.onnx", None, "onnx"),
        ("onnxruntime", "a.onnx", None, "onnx"),
        ("tf2onnx", "a.onnx", "tf2onnx", "export"),
    ],
)
def test_missing_extra_is_named(
    dense: keras.Model,
    tmp_path: Path,
    module: str,
    name: str,
    route: str | None,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "kzoo.arguments.importlib.util.find_spec",
        lambda package: None if package == module else find(package),
    )
    with pytest.raises(ImportError, match=module) as caught:
        export(dense, tmp_path / name, route=route)
    assert f'pip install "kzoo[{extra}]"' in str(caught.value)
    check_nothing_left(tmp_path)


def test_recipe_that_changed_nothing(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    (tmp_path / "a.tflite").write_text("the file of yesterday")
    with pytest.raises(RecipeError, match="changed nothing"):
        export(model, tmp_path / "a.tflite", "dynamic_int8")
    check_nothing_left(tmp_path, "a.tflite")
    assert (tmp_path / "a.tflite").read_text() == "the file of yesterday"


def test_verification_below_tolerance(dense: keras.Model, tmp_path: Path) -> None:
    exact = Tolerance(cosine_mean=1.0, cosine_min=1.0, max_abs=1e-9, agreement=1.0)
    strict = dataclasses.replace(RECIPES["dynamic_int8"], tolerance=exact)
    # All or none: the float file passes, and is not written either.
    targets: dict[Path, str | Recipe] = {
        tmp_path / "float.tflite": "float32",
        tmp_path / "int8.tflite": strict,
    }
    with pytest.raises(VerificationError, match="too far") as caught:
        export_all(dense, targets)
    check_nothing_left(tmp_path)
    topic = caught.value.verification.outputs[0]
    assert topic.name == "topic"
    assert 0.9 < topic.cosine_min < 1.0
    assert f"{topic.cosine_min:.6f}" in str(caught.value)


def test_full_disk(
    exported: tuple[keras.Model, dict[str, Report]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    _, reports = exported
    made = Path(reports["float32"].path)
    report = dataclasses.replace(reports["float32"], path=str(tmp_path / "a.tflite"))
    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(ExportError, match="No space left on device"):
        files.save({made: report})
    check_nothing_left(tmp_path)


def test_operation_that_tflite_lacks(tmp_path: Path) -> None:
    inputs = keras.Input((4, 4))
    model = keras.Model(inputs, keras.ops.linalg.inv(inputs))
    with pytest.raises(ExportError, match="MatrixInverse"):
        export(model, tmp_path / "a.tflite")
    check_nothing_left(tmp_path)
