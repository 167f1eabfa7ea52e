"""`.keras` files that kzoo did not write itself."""

import json
import sys
import zipfile

import keras

import kzoo


def test_a_classifier_made_by_hand_has_no_tokenizer(tmp_path):
    backbone = kzoo.load("bert_tiny", weights="random")
    model = keras.Model(backbone.input, keras.layers.Dense(2)(backbone.output["pooled"]))
    model.save(tmp_path / "model.keras")
    assert kzoo.load(tmp_path / "model.keras").tokenizer is None


def test_a_file_never_runs_the_command(tmp_path, monkeypatch):
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
