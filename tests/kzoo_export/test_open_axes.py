"""Files with open axes: any batch size, any length, one file."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES as ALL_RECIPES
from kzoo_export import ExportError, Report, complete_folder, export, export_all, plan, verify
from kzoo_export.artifact.compare import compare
from kzoo_export.artifact.files import inspect, load
from kzoo_export.samples import Samples
from kzoo_export.source.prepare import prepare
from kzoo_export.spec import OPEN, Signature, TensorSpec
from kzoo_export.trials import make_trials, with_traced_shapes
from tests.kzoo.models.tiny import tiny_backbone, tiny_tokenizer
from tests.kzoo_export import models
from tests.kzoo_export.checks import check_written

pytestmark = pytest.mark.once

FORMATS = ("tflite", "onnx")
RECIPES = ("float32", "dynamic_int8")
LENGTHS = (models.LENGTH, models.LENGTH // 2 + 1, models.LENGTH // 4 + 1)
SIZES = tuple((rows, length) for length in LENGTHS for rows in (1, 3))


def open_images() -> keras.Model:
    """Images of any height and width."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((None, None, 3), name="image"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, name="logits"),
        ]
    )


def images(*shape: int) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(1).random((*shape, 3)).astype("float32")}


def ids(rows: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(rows + length)
    return {"token_ids": random.integers(0, models.VOCAB_SIZE, (rows, length), "int32")}


def sentences(rows: int, length: int) -> dict[str, np.ndarray]:
    samples = models.bert_samples(rows, seed=length)
    return {name: array[:, :length].astype("int32") for name, array in samples.items()}


# A model, samples in a given size, the sizes its file is verified at, and sizes it never saw.
SUBJECTS: dict[str, tuple[Callable[[], keras.Model], Callable[..., Any], Any, Any]] = {
    "transformer_lm": (models.transformer_lm, ids, SIZES, ((2, 5), (4, 19))),
    "images": (
        open_images,
        images,
        tuple((rows, *size, 3) for size in ((16, 12), (9, 4), (5, 7)) for rows in (1, 3)),
        ((2, 7, 20), (4, 15, 5)),
    ),
}
FULL = {"transformer_lm": (8, 12), "images": (8, 16, 12)}


@pytest.fixture(scope="module", params=SUBJECTS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, keras.Model, dict[str, Report]]:
    build, sample, _, _ = SUBJECTS[request.param]
    model, folder = build(), tmp_path_factory.mktemp(request.param)
    targets = {folder / f"{r}.{f}": r for f in FORMATS for r in RECIPES}
    reports = export_all(
        model, targets, length=None, batch_size=None, samples=sample(*FULL[request.param])
    )
    return request.param, model, {Path(report.path).name: report for report in reports}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("format", FORMATS)
def test_file_runs_in_sizes_no_one_tried(exported: Any, format: str, recipe: str) -> None:
    name, model, reports = exported
    _, sample, sizes, unseen = SUBJECTS[name]
    report = reports[f"{recipe}.{format}"]
    check_written(report)
    assert report.verification.sizes == sizes
    assert inspect(report.path) == report.inspection
    assert not report.inspection.static
    runner, source = load(report.path, threads=1), prepare(model)
    assert (runner.inputs, runner.outputs) == (report.inspection.inputs, report.inspection.outputs)
    for size in unseen:
        batch = sample(*size)
        expected = source.run(Samples(batch, ""))
        for output, array in runner(batch).items():
            bound = 1e-4 if recipe == "float32" else 0.1 * np.abs(expected[output]).max()
            np.testing.assert_allclose(array, expected[output], atol=bound)


def test_report_says_which_axes_are_open_and_what_was_tried(exported: Any) -> None:
    name, _, reports = exported
    for report in reports.values():
        text = " ".join(str(report).split())
        assert "[open, open" in text
        tried = ", ".join("x".join(map(str, size)) for size in SUBJECTS[name][2])
        assert f"{tried} (open axes)" in text
        assert len(report.verification.outputs) == 6 * len(report.inspection.outputs)


@pytest.mark.parametrize(
    ("route", "portable"), [("torch", True), ("tf2onnx", False)], ids=["portable", "tf2onnx"]
)
def test_other_ways_to_onnx(route: str, portable: bool, tmp_path: Path) -> None:
    model = models.kerashub_bert()
    report = export(
        model,
        tmp_path / "bert.onnx",
        length=None,
        batch_size=None,
        samples=sentences(8, models.LENGTH),
        route=route,
        portable=portable,
    )
    assert report.verification.sizes == SIZES
    assert report.inspection.custom_ops == () if portable else report.route == route
    batch = sentences(4, 11)
    expected = prepare(model).run(Samples(batch, ""))
    for output, array in load(report.path, threads=1)(batch).items():
        np.testing.assert_allclose(array, expected[output], atol=1e-4)


@pytest.mark.parametrize(
    ("format", "length", "batch_size", "shape", "rows"),
    [
        ("tflite", None, 2, (2, OPEN), 2),
        ("onnx", models.LENGTH, None, (OPEN, models.LENGTH), 3),
    ],
    ids=["length", "batch"],
)
def test_one_open_axis(
    format: str, length: Any, batch_size: Any, shape: Any, rows: int, tmp_path: Path
) -> None:
    """The folder is complete as well: its example takes any text, or any number of texts."""
    backbone = tiny_backbone(with_tokenizer=True)
    path = tmp_path / f"a.{format}"
    texts = ["a text", "another text of more letters", "c"]
    options: dict[str, Any] = {"length": length, "batch_size": batch_size, "samples": texts}
    planned = plan(backbone, path, **options).spec.signature
    report = export(backbone, path, **options)
    inspection = report.inspection
    assert (planned.inputs, planned.outputs) == (inspection.inputs, inspection.outputs)
    assert {entry.shape for entry in inspection.inputs} == {shape}
    assert verify(path, backbone, texts).sizes == report.verification.sizes
    complete_folder(backbone, report)
    arguments, sys.argv = sys.argv, ["example.py", *texts]
    try:
        outputs = runpy.run_path(str(tmp_path / "example.py"))["outputs"]
    finally:
        sys.argv = arguments
    batch = tiny_tokenizer()(texts[:rows], length=length)
    np.testing.assert_allclose(
        outputs["hidden"], backbone.predict(batch, verbose=0)["hidden"], atol=1e-4
    )
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["inputs"][0]["shape"] == list(shape)


def test_recurrent_layers_say_what_to_do(tmp_path: Path) -> None:
    inputs = keras.Input((None, 8), name="steps")
    hidden = keras.layers.LSTM(32, return_sequences=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, name="score")(hidden))
    for format in FORMATS:
        with pytest.raises(ExportError, match=r"`batch_size`.*'tf2onnx'"):
            export(model, tmp_path / f"a.{format}", length=None, batch_size=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (open_images, {}, r"`length` must be given.*image.*Received: no length"),
        (models.image_classifier, {"length": 12}, r"`length` must be left out.*image.*length=12"),
        (models.image_classifier, {"length": None}, r"`length` must be left out.*length=None"),
        (
            lambda: keras.Sequential([keras.Input((4,), batch_size=2), keras.layers.Dense(1)]),
            {"batch_size": None},
            "`batch_size` must be 2.*Received: batch_size=None",
        ),
    ],
    ids=["missing", "fixed", "fixed, open", "batch"],
)
def test_sizes_that_cannot_be(model: Any, options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        export(model(), tmp_path / "a.tflite", **options)


def test_batches_of_several_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`samples\['token_ids'\]` must have the same length"):
        export(
            models.transformer_lm(),
            tmp_path / "a.tflite",
            length=None,
            samples=[ids(2, 5), ids(2, 6)],
        )


def test_texts_of_several_lengths_are_one_batch(tmp_path: Path) -> None:
    planned = plan(
        tiny_backbone(with_tokenizer=True),
        tmp_path / "a.tflite",
        length=None,
        samples=[["a text", "b"], ["a longer text than that"]],
    )
    assert planned.samples == "3 given texts"


def test_difference_in_one_size_fails_the_file() -> None:
    inputs: tuple[TensorSpec, ...] = (TensorSpec("a", (OPEN, OPEN), "float32"),)

    class Runner:
        """Gives what it is given, but at one length."""

        def __init__(self, length: int) -> None:
            self.inputs = self.outputs = inputs
            self.length = length

        def __call__(self, feed: Any) -> dict[str, np.ndarray]:
            return {"a": -feed["a"] if feed["a"].shape[1] == self.length else feed["a"]}

    arrays = {"a": np.random.default_rng(0).standard_normal((5, 9)).astype("float32")}
    trials = make_trials(inputs, Samples(arrays, ""), lambda samples: samples.arrays)
    for length, passed in ((0, True), (9, False), (5, False), (3, False)):
        verification = compare(
            Runner(length), trials, ALL_RECIPES["float32"], Signature(inputs, inputs)
        )
        assert verification.passed == passed


def test_indices_stay_inside_and_padding_in_front_is_cut_away() -> None:
    inputs = tuple(TensorSpec(name, (OPEN, OPEN), "int32") for name in ("ids", "mask", "places"))
    mask = np.arange(8) >= np.array([[6], [0]])
    arrays = {"ids": np.arange(16).reshape(2, 8), "mask": mask, "places": np.full((2, 8), 7)}
    trials = make_trials(
        inputs, Samples(arrays, ""), lambda samples: samples.arrays, {"mask"}, {"places"}
    )
    for trial in trials:
        ids, mask, places = trial.samples.arrays.values()
        assert mask.any(axis=1).all()
        assert places.max() < ids.shape[1] == (trial.size or ())[1]
        np.testing.assert_array_equal(ids, arrays["ids"][:, -ids.shape[1] :])


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (2, r"`samples\['token_ids'\]` must have at least 3 elements.*shape=\(4, 2\)"),
        (6, r"`length` must be a number: the model cannot be run on samples of the shape \(4,\)"),
    ],
    ids=["too short", "refused by the model"],
)
def test_samples_that_cannot_be_cut(length: int, message: str) -> None:
    def run(samples: Samples) -> Any:
        (array,) = samples.arrays.values()
        if array.shape[1] == 4:
            raise RuntimeError("an odd place")
        return samples.arrays

    inputs = (TensorSpec("token_ids", (OPEN, OPEN), "int32"),)
    with pytest.raises(ValueError, match=message):
        make_trials(inputs, Samples(ids(4, length), ""), run)


def test_verify_takes_the_sizes_that_the_model_fixes() -> None:
    source = prepare(models.image_classifier())
    inputs = (TensorSpec("image", (OPEN, OPEN, OPEN, 3), "float32"),)
    assert [entry.shape for entry in source.fix(inputs)] == [(OPEN, 12, 12, 3)]


def test_trials_cut_open_axes_alone() -> None:
    inputs = (TensorSpec("a", (OPEN, OPEN, 3), "float32"), TensorSpec("b", (OPEN, 4), "float32"))
    arrays = {"a": np.ones((5, 9, 3), "float32"), "b": np.ones((5, 4), "float32")}
    trials = make_trials(inputs, Samples(arrays, ""), lambda samples: samples.arrays)
    assert [trial.size for trial in trials] == [
        (rows, length, 3) for length in (9, 5, 3) for rows in (1, 3)
    ]
    for trial in trials:
        assert trial.samples.arrays["b"].shape == (5, 4)
        assert trial.outputs["a"].shape == (5, *(trial.size or ())[1:])
    short = Signature((TensorSpec("a", (OPEN, OPEN), "int32"),), ())
    traced = with_traced_shapes(short, {"a": np.ones((5, 1), "int32")}).traced_shapes
    assert traced == {"a": (2, 2)}
