"""Folders as they lie on hubs: each loads, and computes what `transformers` does."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import kzoo
from kzoo.models.converter import ACTIVATIONS
from kzoo.weights import read_tensors, write_tensors
from tests.huggingface import reference
from tests.kzoo.models.contract import predict, real_positions
from tests.kzoo.models.families import CONVERTED, random_model

pytestmark = pytest.mark.once

Tensors = dict[str, np.ndarray]
SHORT = ("bert.", "distilbert.", "roberta.")
# As `transformers.activations.ACT2FN` has them; RoBERTa's hidden activation takes any.
ALIASES = [name for name in ACTIVATIONS if name != "tanh"]


@pytest.fixture(scope="module")
def originals() -> pathlib.Path:
    models = {name: random_model(name, 1) for name in CONVERTED}
    models["pretraining"] = {**random_model("bert", 1), "class": "BertForPreTraining"}
    for alias in ALIASES:
        models[alias] = random_model("bert", 1)
        models[alias]["config"]["hidden_act"] = alias
    return reference("random", models=models, lengths=[9])


def rename(change: Callable[[str], str]) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        write_tensors({change(name): t for name, t in read_tensors(folder).items()}, folder)

    return apply


def of_tensorflow(name: str) -> str:
    """Return what the first TensorFlow checkpoints call a weight."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def plain(name: str) -> str:
    for prefix in SHORT:
        name = name.removeprefix(prefix)
    return name


def shard(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    (folder / "model.safetensors").unlink()
    files: dict[str, Tensors] = {}
    for index, (name, tensor) in enumerate(sorted(tensors.items())):
        files.setdefault(f"model-0000{index % 3 + 1}-of-00003.safetensors", {})[name] = tensor
    for file, part in files.items():
        safetensors.numpy.save_file(part, folder / file)
    weight_map = {name: file for file, part in files.items() for name in part}
    index_file = folder / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), "utf-8")


def to_bfloat16(folder: pathlib.Path) -> None:
    tensors = {name: t.astype(ml_dtypes.bfloat16) for name, t in read_tensors(folder).items()}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")


def edit_config(**changes: Any) -> Callable[[pathlib.Path], None]:
    def apply(folder: pathlib.Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), "utf-8")

    return apply


def add_position_ids(folder: pathlib.Path) -> None:
    ids = np.arange(30)[None]
    write_tensors({**read_tensors(folder), "embeddings.position_ids": ids}, folder)


def add_head_of_ones_own(folder: pathlib.Path) -> None:
    head = {"my_head.weight": np.ones((2, 3), "float32")}
    write_tensors({**read_tensors(folder), **head}, folder)


# The original, what is done to its folder, and the largest difference.
FOLDERS: dict[str, tuple[str, Callable[[pathlib.Path], None], float]] = {
    "gamma and beta": ("bert", rename(of_tensorflow), 2e-5),
    "prefix of BERT": ("bert", rename(lambda name: f"bert.{name}"), 2e-5),
    "prefix of DistilBERT": ("distilbert", rename(lambda name: f"distilbert.{name}"), 2e-5),
    "prefix of RoBERTa": ("roberta", rename(lambda name: f"roberta.{name}"), 2e-5),
    "no prefix beside heads": ("pretraining", rename(plain), 2e-5),
    "shards": ("roberta", shard, 2e-5),
    # 8 bits of each weight are left: 0.4 %, through a few layers.
    "bfloat16": ("distilbert", to_bfloat16, 0.1),
    "no model_type": ("distilbert", edit_config(model_type=None), 2e-5),
    "position ids": ("bert", add_position_ids, 2e-5),
    "a head of one's own": ("bert", add_head_of_ones_own, 2e-5),
    "heads for pretraining": ("pretraining", lambda folder: None, 2e-5),
    "null settings": ("bert", edit_config(pruned_heads=None, position_embedding_type=None), 2e-5),
    **{f"activation {alias}": (alias, lambda folder: None, 2e-5) for alias in ALIASES},
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_computes_what_hugging_face_does(originals, name, tmp_path):
    original, change, bound = FOLDERS[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).write_bytes((originals / original / file).read_bytes())
    change(folder)
    if name == "a head of one's own":
        with pytest.warns(UserWarning, match=r"Weights are left out:[\s\S]*my_head\.weight"):
            model = kzoo.load(folder)
        with pytest.raises(ValueError, match=r"1 unexpected in the file: my_head\.weight"):
            kzoo.load(folder, strict=True)
    else:
        model = kzoo.load(folder, strict=True)
    with np.load(originals / original / "inputs_9.npz") as inputs:
        arrays = {key: inputs[key].astype("int32") for key in model.input}
        real = real_positions(dict(inputs))
    with np.load(originals / original / "outputs_9.npz") as expected:
        difference = np.abs(predict(model, arrays)["hidden"] - expected["hidden"])[real]
    assert difference.max() < bound


def test_numbers_that_numpy_does_not_have_are_refused(originals, tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(2)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"The weights file cannot be read .*model\.safetensors"):
        read_tensors(tmp_path)
