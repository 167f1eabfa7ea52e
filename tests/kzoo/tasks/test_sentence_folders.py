"""Folders of sentence-transformers: how they make vectors is obeyed or refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kzoo
from kzoo.tasks import SentenceEncoder
from kzoo.weights import write_tensors
from tests.kzoo.models.contract import predict
from tests.kzoo.models.tiny import tiny_backbone

TEXTS = ["a text", "another one that is longer", "b"]
POOLINGS = {
    "mean": lambda rows: rows.mean(0),
    "cls": lambda rows: rows[0],
    "max": lambda rows: rows.max(0),
}
FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
}
KERNEL = np.random.default_rng(0).normal(0, 0.5, (16, 6)).astype("float32")
BIAS = np.linspace(-1, 1, 6, dtype="float32")


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def write_folder(
    folder: Path,
    modules: tuple[str, ...] = ("Transformer", "Pooling", "Normalize"),
    pooling: dict[str, Any] | None = None,
    dense: dict[str, Any] | None = None,
    **files: Any,
) -> Path:
    kzoo.save_huggingface(tiny_backbone(with_tokenizer=True), folder)
    paths = ["" if kind == "Transformer" else f"{i}_{kind}" for i, kind in enumerate(modules)]
    records = [
        {"idx": i, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(zip(modules, paths, strict=True))
    ]
    write_json(folder / "modules.json", records)
    for kind, path in zip(modules, paths, strict=True):
        if kind == "Pooling":
            write_json(folder / path / "config.json", pooling or {FLAGS["mean"]: True})
        if kind == "Dense":
            tanh = {"activation_function": "torch.nn.modules.activation.Tanh", "bias": True}
            write_json(folder / path / "config.json", {**tanh, **(dense or {})})
            write_tensors({"linear.weight": KERNEL.T, "linear.bias": BIAS}, folder / path)
    for name, content in files.items():
        write_json(folder / f"{name}.json", content)
    return folder


def expected_vectors(folder: Path, pooling: str) -> np.ndarray:
    backbone = kzoo.load(folder)
    inputs = backbone.tokenizer(TEXTS)
    hidden = predict(backbone, inputs)["hidden"].astype("float64")
    rows = zip(hidden, inputs["padding_mask"].astype(bool), strict=True)
    return np.stack([POOLINGS[pooling](row[real]) for row, real in rows])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("old", [True, False], ids=["flags", "mode"])
def test_pooling_of_the_folder(tmp_path, pooling, old):
    flags = {flag: name == pooling for name, flag in FLAGS.items()}
    config = flags if old else {"pooling_mode": pooling}
    folder = write_folder(tmp_path / "model", pooling=config)
    vectors = SentenceEncoder(kzoo.load(folder)).encode(TEXTS)
    expected = expected_vectors(folder, pooling)
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6, rtol=0)


def test_dense_layer_without_normalization(tmp_path):
    folder = write_folder(tmp_path / "model", ("Transformer", "Pooling", "Dense"))
    encoder = SentenceEncoder(kzoo.load(folder))
    expected = np.tanh(expected_vectors(folder, "mean") @ KERNEL + BIAS)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6, rtol=0)
    # A file of the encoder has the layer, one of the backbone says that it does not.
    kzoo.save(encoder, tmp_path / "encoder.keras")
    loaded = kzoo.load(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded.encode(TEXTS), expected, atol=1e-6, rtol=0)
    kzoo.save(kzoo.load(folder), tmp_path / "backbone.keras")
    with pytest.raises(ValueError, match="`backbone` must be loaded from its folder"):
        SentenceEncoder(kzoo.load(tmp_path / "backbone.keras"))


@pytest.mark.parametrize("kinds", [("Normalize",), ("Dense",), ("Dense", "Normalize"), ()])
def test_folder_survives_the_round_trip(tmp_path, kinds):
    modules = ("Transformer", "Pooling", *kinds)
    cls = {FLAGS["cls"]: True}
    limit = {"max_seq_length": 5, "do_lower_case": False}
    folder = write_folder(tmp_path / "model", modules, cls, sentence_bert_config=limit)
    encoder = SentenceEncoder(kzoo.load(folder))
    vectors = encoder.encode(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS, length=5), vectors)
    assert np.abs(encoder.encode(TEXTS, length=20) - vectors).max() > 1e-3
    for model in (encoder, kzoo.load(folder)):
        kzoo.save_huggingface(model, tmp_path / "again")
        again = SentenceEncoder(kzoo.load(tmp_path / "again"))
        np.testing.assert_allclose(again.encode(TEXTS), vectors, atol=1e-6, rtol=0)
        shutil.rmtree(tmp_path / "again")


def test_transformer_in_a_folder_of_its_own(tmp_path):
    inner = write_folder(tmp_path / "model" / "0_Transformer", pooling={FLAGS["cls"]: True})
    expected = SentenceEncoder(kzoo.load(inner)).encode(TEXTS)
    modules = json.loads((inner / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(tmp_path / "model" / "modules.json", modules)
    (inner / "modules.json").unlink()
    shutil.move(inner / "1_Pooling", tmp_path / "model")
    vectors = SentenceEncoder(kzoo.load(tmp_path / "model")).encode(TEXTS)
    np.testing.assert_array_equal(vectors, expected)


def test_arguments_in_place_of_the_folder(tmp_path):
    folder = write_folder(tmp_path / "model", pooling={FLAGS["cls"]: True})
    encoder = SentenceEncoder(kzoo.load(folder), pooling="max", normalize=False)
    expected = expected_vectors(folder, "max")
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6, rtol=0)


def test_backbone_in_a_keras_file_keeps_the_pooling(tmp_path):
    folder = write_folder(tmp_path / "model", pooling={FLAGS["cls"]: True})
    backbone = kzoo.load(folder)
    kzoo.save(backbone, tmp_path / "backbone.keras")
    loaded = SentenceEncoder(kzoo.load(tmp_path / "backbone.keras"))
    expected = SentenceEncoder(backbone).encode(TEXTS)
    np.testing.assert_array_equal(loaded.encode(TEXTS), expected)


@pytest.mark.once
def test_dense_layer_of_any_name_is_written(tmp_path):
    dense = keras.layers.Dense(3, use_bias=False, activation="relu", name="mine")
    encoder = SentenceEncoder(tiny_backbone(with_tokenizer=True), pooling="mean", dense=dense)
    kzoo.save_huggingface(encoder, tmp_path / "folder")
    again = SentenceEncoder(kzoo.load(tmp_path / "folder", strict=True))
    np.testing.assert_allclose(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6, rtol=0)
    dense.activation = keras.activations.sigmoid
    with pytest.raises(ValueError, match=r"`activation` must be .*Received: activation='sigmoid'"):
        kzoo.save_huggingface(encoder, tmp_path / "another")
    assert not (tmp_path / "another").exists()


@pytest.mark.once
def test_pooling_that_is_no_object_is_refused(tmp_path):
    folder = write_folder(tmp_path / "model")
    write_json(folder / "1_Pooling" / "config.json", [1])
    with pytest.raises(ValueError, match="must contain a JSON object"):
        SentenceEncoder(kzoo.load(folder))


WRONG_FOLDERS = {
    "two poolings": {"pooling": {FLAGS["cls"]: True, FLAGS["max"]: True}},
    "another pooling": {"pooling": {"pooling_mode_lasttoken": True}},
    "another module": {"modules": ("Transformer", "Pooling", "LayerNorm")},
    "another order": {"modules": ("Transformer", "Pooling", "Normalize", "Dense")},
    "no pooling": {"modules": ("Transformer", "Normalize")},
    "activation": {
        "modules": ("Transformer", "Pooling", "Dense"),
        "dense": {"activation_function": "torch.nn.modules.activation.Mish"},
    },
    "no bias": {"modules": ("Transformer", "Pooling", "Dense"), "dense": {"bias": False}},
    "case": {"sentence_bert_config": {"do_lower_case": True}},
    "prompt": {"config_sentence_transformers": {"default_prompt_name": "query"}},
}


@pytest.mark.once
@pytest.mark.parametrize("name", WRONG_FOLDERS)
def test_folder_that_is_not_implemented_is_refused(tmp_path, name):
    folder = write_folder(tmp_path / "model", **WRONG_FOLDERS[name])
    backbone = kzoo.load(folder)
    with pytest.raises(ValueError, match=r"`pooling` must be given.*Received: .*\.json") as told:
        SentenceEncoder(backbone)
    assert "\n" not in str(told.value)
    assert SentenceEncoder(backbone, pooling="mean").encode(TEXTS).shape == (3, 16)
    # The reason travels with the backbone, which can be used alone.
    kzoo.save(backbone, tmp_path / "backbone.keras")
    with pytest.raises(ValueError, match="`pooling` must be given"):
        SentenceEncoder(kzoo.load(tmp_path / "backbone.keras"))


MODULE = {"type": "sentence_transformers.models.Transformer", "path": ""}


@pytest.mark.once
@pytest.mark.parametrize(
    "modules", [{}, [], 3, [3], [{"path": ""}], [{**MODULE, "path": "../x"}], [MODULE, {}]]
)
def test_damaged_list_of_modules(tmp_path, modules):
    folder = write_folder(tmp_path / "model")
    write_json(folder / "modules.json", modules)
    with pytest.raises(ValueError, match=r"list modules with a type.*modules\.json"):
        SentenceEncoder(kzoo.load(folder))


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "last"}, "`pooling` must be .*Received: pooling='last'"),
        ({"dense": keras.layers.Dense(3)}, "`pooling` must be given with `dense`"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SentenceEncoder(tiny_backbone(), **arguments)


@pytest.mark.once
@pytest.mark.parametrize("arguments", [{"normalize": False}, {"max_length": 8}])
def test_arguments_that_compete_with_the_folder(tmp_path, arguments):
    backbone = kzoo.load(write_folder(tmp_path / "model"))
    with pytest.raises(ValueError, match="the folder of the backbone has its say"):
        SentenceEncoder(backbone, **arguments)
