"""The numbers of Hugging Face, in every family."""

import contextlib
import json
import pathlib

import keras
import numpy as np
import pytest

import kzoo
from kzoo.weights import read_tensors
from tests.huggingface import reference
from tests.kzoo.models.families import CONVERTED, random_model

MODELS = {
    # Names with the prefix `bert.`, heads to drop, the approximate GELU, three segments.
    "bert_pretraining": {
        "class": "BertForPreTraining",
        "config": {
            "model_type": "bert",
            "vocab_size": 31,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "hidden_size": 24,
            "intermediate_size": 40,
            "max_position_embeddings": 20,
            "type_vocab_size": 3,
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
        },
    },
    **{f"{name}_{seed}": random_model(name, seed) for name in CONVERTED for seed in range(2)},
    **{
        f"{name}_no_{part}": {**random_model(name, 2), "options": {"add_pooling_layer": False}}
        for name, family in CONVERTED.items()
        for part in family.converter.optional
    },
}
LENGTHS = [7, 20]
GRAPHS = {"fused": contextlib.nullcontext, "static": kzoo.layers.static_graph}


@pytest.fixture(scope="module")
def random_models() -> pathlib.Path:
    return reference("random", models=MODELS, lengths=LENGTHS)


@pytest.fixture(scope="module")
def minilm_outputs(minilm_folder) -> dict[str, np.ndarray]:
    texts = kzoo.data.sample_texts()[::9][:64]
    folder = reference("encode", model=str(minilm_folder), texts=texts)
    with np.load(folder / "outputs.npz") as arrays:
        return dict(arrays)


def outputs_of(model: keras.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    inputs = {name: arrays[name].astype("int32") for name in model.input}
    outputs = model(inputs, training=False)
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", MODELS)
def test_random_model_computes_what_hugging_face_does(random_models, name, graph):
    model = kzoo.load(random_models / name)
    for length in LENGTHS:
        with np.load(random_models / name / f"inputs_{length}.npz") as inputs, GRAPHS[graph]():
            outputs = outputs_of(model, dict(inputs))
            real = inputs["padding_mask"].astype(bool)
        with np.load(random_models / name / f"outputs_{length}.npz") as expected:
            assert set(outputs) == set(expected)
            # Hidden states are of size 1: the difference is rounding, in another order.
            np.testing.assert_allclose(
                outputs["hidden"][real], expected["hidden"][real], atol=1e-5, rtol=0
            )
            for key in set(expected) - {"hidden"}:
                np.testing.assert_allclose(outputs[key], expected[key], atol=1e-5, rtol=0)


@pytest.mark.once
@pytest.mark.parametrize("name", MODELS)
def test_random_model_goes_back_byte_by_byte(random_models, name, tmp_path):
    """The same settings and the same tensors: what `transformers` computes is the same too."""
    model = kzoo.load(random_models / name)
    kzoo.save_huggingface(model, tmp_path / "back")
    converter = CONVERTED[model.config.family].converter
    before = {converter.plain_name(k): v for k, v in read_tensors(random_models / name).items()}
    after = read_tensors(tmp_path / "back")
    heads = {name for name in before if converter.table(model.config)[name] is None}
    assert set(after) == set(before) - heads
    for key, tensor in after.items():
        np.testing.assert_array_equal(tensor, before[key], err_msg=key)
    settings, written = (
        json.loads((folder / "config.json").read_text())
        for folder in (random_models / name, tmp_path / "back")
    )
    for key, value in written.items():
        if key not in {"architectures", "position_embedding_type"}:
            assert value == settings[key], key


@pytest.mark.parametrize("graph", GRAPHS)
def test_minilm_computes_what_hugging_face_does(minilm, minilm_outputs, graph):
    real = minilm_outputs["padding_mask"].astype(bool)
    assert len(real) == 64
    assert len(set(real.sum(axis=1))) > 10, "the sentences must be of mixed length"
    with GRAPHS[graph]():
        outputs = outputs_of(minilm, minilm_outputs)
    # Promised: 5e-5. Hidden states reach 4 after six layers of float32 sums.
    difference = np.abs(outputs["hidden"] - minilm_outputs["hidden"])[real]
    assert difference.max() < 5e-5
    assert np.abs(outputs["pooled"] - minilm_outputs["pooled"]).max() < 5e-5
    print(f"largest difference: {difference.max():.2e}")  # noqa: T201


def test_tokenizer_of_minilm_gives_the_same_batch(minilm, minilm_outputs):
    length = minilm_outputs["token_ids"].shape[1]
    batch = minilm.tokenizer(kzoo.data.sample_texts()[::9][:64], length=length)
    assert list(batch) == ["token_ids", "segment_ids", "padding_mask"]
    for name, array in batch.items():
        np.testing.assert_array_equal(array, minilm_outputs[name])
