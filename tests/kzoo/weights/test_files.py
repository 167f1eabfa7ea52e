import json

import numpy as np
import pytest
import safetensors.numpy

from kzoo.weights import read_tensors, write_tensors

pytestmark = pytest.mark.once

TENSORS = {
    "a": np.arange(6, dtype="float32").reshape(2, 3),
    "b": np.array([1, 2], "int64"),
    "c": np.array([0.5], "float16"),
}


def assert_equal(read):
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_written_files_are_read_back(tmp_path):
    write_tensors(TENSORS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert_equal(read_tensors(tmp_path))


def test_transposed_array_is_written_as_it_reads(tmp_path):
    write_tensors({"a": TENSORS["a"].T}, tmp_path)
    np.testing.assert_array_equal(read_tensors(tmp_path)["a"], TENSORS["a"].T)


def shard(folder, files):
    for name, keys in files.items():
        safetensors.numpy.save_file({key: TENSORS[key] for key in keys}, folder / name)
    index = {"weight_map": {key: name for name, keys in files.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_read_through_their_index(tmp_path):
    shard(
        tmp_path,
        {"model-00001-of-00002.safetensors": "ab", "model-00002-of-00002.safetensors": "c"},
    )
    assert_equal(read_tensors(tmp_path))


def test_shard_that_is_not_there_is_named(tmp_path):
    shard(tmp_path, {"one.safetensors": "ab", "two.safetensors": "c"})
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ValueError, match=r"must name files beside it.*two\.safetensors"):
        read_tensors(tmp_path)


def test_index_cannot_leave_its_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    safetensors.numpy.save_file(TENSORS, tmp_path / "outside.safetensors")
    index = {"weight_map": {"a": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="must name files beside it"):
        read_tensors(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_damaged_index_is_one_clear_error(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=r"The index of the weights .*Received: "):
        read_tensors(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt"])
def test_pickles_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"not even a pickle")
    with pytest.raises(ValueError, match=rf"only pickled weights \({name}\).*safetensors"):
        read_tensors(tmp_path)


def test_safetensors_are_preferred_to_the_pickle_beside_them(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    write_tensors(TENSORS, tmp_path)
    assert_equal(read_tensors(tmp_path))


def test_folder_without_weights_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"must contain model\.safetensors or .*Received: "):
        read_tensors(tmp_path)


@pytest.mark.parametrize("cut", [0, 4, 60, -1])
def test_truncated_file_is_one_clear_error(tmp_path, cut):
    write_tensors(TENSORS, tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"cannot be read .*model\.safetensors"):
        read_tensors(tmp_path)
