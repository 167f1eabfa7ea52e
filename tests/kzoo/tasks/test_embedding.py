import dataclasses

import keras
import numpy as np
import pytest

import kzoo
from kzoo.models import BertBackbone, BertConfig, TransformerLM, TransformerLMConfig
from kzoo.tasks.embedding import UnitNorm
from tests.kzoo.models.contract import NO_GRADIENT, example_inputs, predict, randomize
from tests.kzoo.models.tiny import tiny_backbone

SMALL = BertConfig(
    vocab_size=40, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=20, max_length=12
)


@pytest.fixture
def backbone():
    model = BertBackbone(SMALL)
    randomize(model)
    return model


def test_embedding_is_the_normalized_mean_of_real_positions(backbone):
    encoder = kzoo.tasks.SentenceEncoder(backbone)
    inputs = example_inputs(SMALL.vocab_size)
    assert list(encoder.input) == ["token_ids", "segment_ids", "padding_mask"]
    hidden = predict(backbone, inputs)["hidden"]
    outputs = predict(encoder, inputs)
    assert list(outputs) == ["embedding"]
    for row, mask, embedding in zip(
        hidden, inputs["padding_mask"], outputs["embedding"], strict=True
    ):
        mean = row[mask.astype(bool)].astype("float64").mean(axis=0)
        # Unit vectors: float32 rounding.
        np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), atol=1e-6, rtol=0)


def test_row_without_real_positions_is_finite(backbone):
    inputs = {name: 0 * array for name, array in example_inputs(SMALL.vocab_size).items()}
    embedding = predict(kzoo.tasks.SentenceEncoder(backbone), inputs)["embedding"]
    assert np.isfinite(embedding).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_unit_norm_is_safe_in_every_dtype(dtype):
    vectors = np.array([[0.0, 0.0], [3e-2, 4e-2], [30.0, 40.0], [300.0, 400.0]], "float32")
    outputs = UnitNorm(dtype=dtype)(vectors)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    expected = [[0.0, 0.0], [0.6, 0.8], [0.6, 0.8], [0.6, 0.8]]
    # bfloat16 keeps 8 bits.
    np.testing.assert_allclose(outputs, expected, atol=1e-6 if dtype == "float32" else 5e-3)


def test_file_has_everything(backbone, tmp_path):
    encoder = kzoo.tasks.SentenceEncoder(backbone, name="encoder")
    encoder.save(tmp_path / "encoder.keras")
    loaded = kzoo.load(tmp_path / "encoder.keras")
    assert isinstance(loaded, kzoo.tasks.SentenceEncoder)
    assert loaded.name == "encoder"
    assert loaded.config == encoder.config == dataclasses.replace(SMALL, pooler=False)
    inputs = example_inputs(SMALL.vocab_size)
    np.testing.assert_array_equal(
        predict(loaded, inputs)["embedding"], predict(encoder, inputs)["embedding"]
    )


def test_every_weight_is_trained_and_shared(backbone):
    encoder = kzoo.tasks.SentenceEncoder(backbone)
    assert encoder.count_params() == encoder.config.num_parameters
    before = {v.path: keras.ops.convert_to_numpy(v.value).copy() for v in encoder.weights}
    inputs = example_inputs(SMALL.vocab_size)
    target = np.eye(SMALL.hidden_dim, dtype="float32")[: len(inputs["token_ids"])]
    encoder.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    encoder.fit(inputs, {"embedding": target}, verbose=0)
    ours = {v.path: keras.ops.convert_to_numpy(v.value) for v in backbone.weights}
    still = [path for path in before if np.array_equal(ours[path], before[path])]
    assert [path for path in still if not path.endswith(NO_GRADIENT)] == []


def test_half_precision(backbone):
    half = BertBackbone(SMALL, dtype="mixed_bfloat16")
    half.set_weights(backbone.get_weights())
    inputs = example_inputs(SMALL.vocab_size)
    expected = predict(kzoo.tasks.SentenceEncoder(backbone), inputs)["embedding"]
    embedding = kzoo.tasks.SentenceEncoder(half)(inputs)["embedding"]
    assert keras.backend.standardize_dtype(embedding.dtype) == "bfloat16"
    embedding = keras.ops.convert_to_numpy(keras.ops.cast(embedding, "float32"))
    # bfloat16 keeps 8 bits: 0.4 % a value, through two layers.
    assert np.abs(embedding - expected).max() < 0.05


def test_minilm_knows_what_is_alike(minilm):
    encoder = kzoo.tasks.SentenceEncoder(minilm)
    vectors = encoder.encode(
        [
            "A man is eating food.",
            "A man is eating a piece of bread.",
            "The stock market fell sharply today.",
        ]
    )
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    # From sentence-transformers on the same weights: 0.7553 and 0.0037.
    assert vectors[0] @ vectors[1] == pytest.approx(0.7553, abs=1e-3)
    assert vectors[0] @ vectors[2] == pytest.approx(0.0037, abs=1e-3)


@pytest.mark.once
def test_neither_batches_nor_order_change_a_vector():
    encoder = kzoo.tasks.SentenceEncoder(tiny_backbone(with_tokenizer=True))
    texts = [*kzoo.data.sample_texts()[:3], "", "Short."]
    together = encoder.encode(texts, batch_size=3, length=32)
    alone = [encoder.encode([text], length=32)[0] for text in texts]
    # The same sums in other shapes.
    np.testing.assert_allclose(together, alone, atol=1e-6, rtol=0)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    assert encoder.encode([]).shape == (0, 16)


@pytest.mark.once
def test_tokenizer_travels_with_the_encoder(backbone, minilm_folder, tmp_path):
    backbone.tokenizer = kzoo.data.Tokenizer.from_folder(minilm_folder)
    encoder = kzoo.tasks.SentenceEncoder(backbone)
    assert encoder.tokenizer is backbone.tokenizer
    encoder.save(tmp_path / "encoder.keras")
    assert kzoo.load(tmp_path / "encoder.keras").tokenizer.vocab_size == 30522


@pytest.mark.once
def test_wrong_arguments_are_one_clear_error(backbone, minilm):
    with pytest.raises(ValueError, match="needs a tokenizer"):
        kzoo.tasks.SentenceEncoder(backbone).encode(["a"])
    encoder = kzoo.tasks.SentenceEncoder(minilm)
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        encoder.encode(["a"], batch_size=0)
    with pytest.raises(ValueError, match=r"`length` .*Received: length=2"):
        encoder.encode(["a"], length=2)
    with pytest.raises(ValueError, match=r"`length` .*at most 512"):
        encoder.encode(["a"], length=513)
    with pytest.raises(ValueError, match="`texts` must be a list of strings"):
        encoder.encode("a text")
    with pytest.raises(ValueError, match="`epsilon` must be a positive number"):
        UnitNorm(epsilon=0)
    dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`backbone` must be a backbone of kzoo.*Sequential"):
        kzoo.tasks.SentenceEncoder(dense)
    config = TransformerLMConfig(vocab_size=9, hidden_dim=4, num_heads=1, mlp_dim=4)
    with pytest.raises(ValueError, match=r"the input `padding_mask` .*TransformerLM"):
        kzoo.tasks.SentenceEncoder(TransformerLM(config))
