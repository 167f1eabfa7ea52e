"""`.keras` files of models made by hand, and of foreign origin."""

import json
import sys
import zipfile

import keras
import numpy as np
import pytest

import kzoo
from kzoo.models import BertBackbone
from kzoo.models.backbone import find_tokenizer
from tests.kzoo.models.tiny import tiny_backbone, tiny_tokenizer

TEXTS = ["one text", "and another"]


def on_the_graph(backbone: BertBackbone) -> keras.Model:
    return keras.Model(backbone.input, keras.layers.Dense(2)(backbone.output["pooled"]))


def as_a_layer(backbone: BertBackbone) -> keras.Model:
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in backbone.input}
    return keras.Model(inputs, keras.layers.Dense(2)(backbone(inputs)["pooled"]))


class Subclassed(keras.Model):
    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.dense = backbone, keras.layers.Dense(2)


@pytest.mark.parametrize("make", [on_the_graph, as_a_layer])
def test_classifier_made_by_hand_keeps_its_tokenizer(make, tmp_path):
    path = tmp_path / "model.keras"
    model = make(tiny_backbone(with_tokenizer=True))
    kzoo.save(model, path)
    kzoo.save(model, path)  # replaces the file
    loaded = kzoo.load(path)
    batch = loaded.tokenizer(TEXTS, length=16)
    expected = tiny_tokenizer()(TEXTS, length=16)
    for name, array in expected.items():
        np.testing.assert_array_equal(batch[name], array)
    outputs = [keras.ops.convert_to_numpy(m(batch, training=False)) for m in (model, loaded)]
    np.testing.assert_array_equal(*outputs)
    # A second generation, made of what was loaded.
    probabilities = keras.layers.Softmax()(loaded.output)
    kzoo.save(keras.Model(loaded.input, probabilities), path)
    assert kzoo.load(path).tokenizer.vocab_size == loaded.tokenizer.vocab_size
    keras.saving.load_model(path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_saved_by_keras_a_classifier_has_no_tokenizer(tmp_path):
    on_the_graph(tiny_backbone(with_tokenizer=True)).save(tmp_path / "model.keras")
    assert kzoo.load(tmp_path / "model.keras").tokenizer is None


@pytest.mark.once
def test_what_has_no_tokenizer_stays_without(tmp_path):
    kzoo.save(on_the_graph(tiny_backbone()), tmp_path / "model.keras")
    assert kzoo.load(tmp_path / "model.keras").tokenizer is None


@pytest.mark.once
def test_model_of_this_library_is_saved_as_keras_saves_it(tmp_path):
    backbone = tiny_backbone(with_tokenizer=True)
    backbone.save(tmp_path / "keras.keras")
    kzoo.save(backbone, tmp_path / "kzoo.keras")
    names = []
    for name in ("keras", "kzoo"):
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            names.append(sorted(archive.namelist()))
    assert names[0] == names[1]
    assert kzoo.load(tmp_path / "kzoo.keras").tokenizer.vocab_size == backbone.config.vocab_size


@pytest.mark.once
def test_its_own_tokenizer_comes_first(tmp_path):
    model = on_the_graph(tiny_backbone())
    model.tokenizer = tiny_tokenizer()
    kzoo.save(model, tmp_path / "model.keras")
    assert kzoo.load(tmp_path / "model.keras").tokenizer is not None


@pytest.mark.once
def test_model_without_a_graph_finds_its_backbone():
    backbone = tiny_backbone(with_tokenizer=True)
    assert find_tokenizer(Subclassed(backbone)) is backbone.tokenizer


@pytest.mark.once
def test_wrong_arguments_are_errors_and_leave_nothing(tmp_path):
    one, two = (tiny_backbone(with_tokenizer=True) for _ in range(2))
    model = on_the_graph(one)
    for path in (tmp_path / "model.h5", tmp_path, tmp_path / "missing" / "model.keras"):
        with pytest.raises(ValueError, match=r"`path` must be a file that ends in `.keras`"):
            kzoo.save(model, path)
    with pytest.raises(ValueError, match=r"`model` must be a Keras model. Received: str"):
        kzoo.save("bert_tiny", tmp_path / "model.keras")
    names = [f"{index}_{name}" for index in (0, 1) for name in one.input]
    pair = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    towers = [
        tower({name: pair[f"{index}_{name}"] for name in tower.input})["pooled"]
        for index, tower in enumerate((one, two))
    ]
    two_towers = keras.Model(pair, keras.layers.add(towers))
    assert find_tokenizer(two_towers) is None
    with pytest.raises(ValueError, match=r"set by hand .* Received: \['Tokenizer', 'Tokenizer'\]"):
        kzoo.save(two_towers, tmp_path / "model.keras")
    model.tokenizer = "vocab.txt"
    with pytest.raises(ValueError, match=r"`model.tokenizer` must be a `kzoo.data.Tokenizer`"):
        kzoo.save(model, tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_damaged_tokenizer_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    on_the_graph(tiny_backbone()).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/tokenizer.json", "{")
    with pytest.raises(ValueError, match=r"The `.keras` file was refused"):
        kzoo.load(path)


@pytest.mark.once
def test_file_never_runs_the_command(tmp_path, monkeypatch):
    plain, crafted = tmp_path / "plain.keras", tmp_path / "crafted.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(crafted, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                named = {**json.loads(content), "extra": {"module": "kzoo.__main__"}}
                content = json.dumps(named).encode()
            new.writestr(name, content)
    monkeypatch.setattr(sys, "argv", ["kzoo", "list"])
    kzoo.load(crafted)  # would end the process
    assert "kzoo.__main__" not in sys.modules
