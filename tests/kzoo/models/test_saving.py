import json

import keras
import numpy as np
import pytest

import kzoo
from kzoo.models import BertBackbone, BertConfig, huggingface
from kzoo.weights import read_tensors
from tests.huggingface import run

pytestmark = pytest.mark.once

SMALL = BertConfig(vocab_size=9, num_layers=1, num_heads=2, hidden_dim=4, mlp_dim=6, max_length=5)


def test_transformers_loads_the_folder_strictly(minilm, tmp_path):
    kzoo.save_huggingface(minilm, tmp_path / "model")
    texts = kzoo.data.sample_texts()[:8]
    run("load_strictly", tmp_path / "result", model=str(tmp_path / "model"), texts=texts)
    report = json.loads((tmp_path / "result" / "info.json").read_text())
    assert {"missing_keys", "unexpected_keys", "mismatched_keys"} <= set(report)
    assert not any(report.values()), report
    with np.load(tmp_path / "result" / "outputs.npz") as expected:
        length = expected["token_ids"].shape[1]
        batch = minilm.tokenizer(texts, length=length)
        for name, array in batch.items():
            np.testing.assert_array_equal(array, expected[name])
        hidden = keras.ops.convert_to_numpy(minilm(batch)["hidden"])
        real = batch["padding_mask"].astype(bool)
        # The same bound as for the original folder.
        assert np.abs(hidden - expected["hidden"])[real].max() < 5e-5


def test_round_trip_is_exact(minilm, minilm_folder, tmp_path):
    kzoo.save_huggingface(minilm, tmp_path / "one")
    again = kzoo.load(tmp_path / "one")
    kzoo.save_huggingface(again, tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.*"):
        same = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == same.read_bytes(), path
    original, saved = read_tensors(minilm_folder), read_tensors(tmp_path / "one")
    assert set(original) - set(saved) == {"embeddings.position_ids"}
    for name, tensor in saved.items():
        np.testing.assert_array_equal(tensor, original[name])


def test_encoder_is_saved_as_its_backbone(tmp_path):
    model = BertBackbone(SMALL)
    kzoo.save_huggingface(kzoo.tasks.SentenceEncoder(model), tmp_path / "model")
    loaded = kzoo.load(tmp_path / "model")
    assert not loaded.config.pooler
    expected = {variable.path: variable for variable in model.weights}
    for variable in loaded.weights:
        np.testing.assert_array_equal(
            *map(keras.ops.convert_to_numpy, (variable, expected[variable.path]))
        )


def test_half_precision_models_are_saved_in_float32(tmp_path):
    kzoo.save_huggingface(BertBackbone(SMALL, dtype="bfloat16"), tmp_path / "model")
    assert {str(t.dtype) for t in read_tensors(tmp_path / "model").values()} == {"float32"}


def test_empty_folder_may_be_there_already(tmp_path):
    (tmp_path / "model").mkdir()
    kzoo.save_huggingface(BertBackbone(SMALL), tmp_path / "model")
    assert kzoo.load(tmp_path / "model").config == SMALL
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_is_not_overwritten(tmp_path, kind):
    taken = tmp_path / "model"
    if kind == "folder":
        taken.mkdir()
    (taken / "mine" if kind == "folder" else taken).write_text("mine")
    with pytest.raises(ValueError, match="`folder` must be new or empty"):
        kzoo.save_huggingface(BertBackbone(SMALL), taken)


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(tensors, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(huggingface, "write_tensors", fail)
    with pytest.raises(OSError, match="No space left"):
        kzoo.save_huggingface(BertBackbone(SMALL), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_another_model_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`model` must be a model of kzoo.*Sequential"):
        kzoo.save_huggingface(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
