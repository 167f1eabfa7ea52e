"""The masked-LM head is tied to the token table, also after loading."""

import keras
import numpy as np
import pytest

from kzoo.layers import BertEmbedding, MaskedLMHead
from kzoo.layers.heads.masked_lm import gather_positions
from tests.arrays import to_numpy
from tests.checks import randomize

V, D = 11, 4
BATCH = {
    "token_ids": np.array([[1, 2, 3], [4, 5, 6]], "int32"),
    "mask_positions": np.array([[0, 2], [1, 1]], "int32"),
}


@keras.saving.register_keras_serializable("test")
class TiedModel(keras.Model):
    """A functional model that passes the table where it makes its graph."""

    def __init__(self, hidden_dim: int = D, **kwargs) -> None:
        embedding = BertEmbedding(V, hidden_dim, max_length=5, name="embedding")
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in BATCH}
        hidden = embedding(inputs["token_ids"])
        head = MaskedLMHead(V, name="head")
        logits = head(hidden, inputs["mask_positions"], embedding.token_table)
        super().__init__(inputs, {"logits": logits}, **kwargs)
        self.hidden_dim = hidden_dim

    def get_config(self) -> dict:
        return {"hidden_dim": self.hidden_dim, "name": self.name}


def test_head_has_no_table_of_its_own():
    model = TiedModel()
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert shapes.count((V, D)) == 1
    assert [weight.path for weight in model.weights if weight.shape == (V, D)] == [
        "embedding/tokens/table"
    ]


def test_changing_the_table_changes_the_logits_at_once():
    model = TiedModel()
    before = to_numpy(model(BATCH)["logits"])
    table = model.get_layer("embedding").token_table
    table.assign(table * 3.0 + 1.0)
    assert np.abs(to_numpy(model(BATCH)["logits"]) - before).max() > 1e-2


def test_tied_after_loading(tmp_path):
    model = TiedModel()
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = to_numpy(model(BATCH)["logits"])
    np.testing.assert_array_equal(to_numpy(loaded(BATCH)["logits"]), expected)
    table = loaded.get_layer("embedding").token_table
    table.assign(table * 3.0 + 1.0)
    assert np.abs(to_numpy(loaded(BATCH)["logits"]) - expected).max() > 1e-2


def test_training_moves_the_table_from_both_sides():
    model = TiedModel()
    untouched = to_numpy(model.get_layer("embedding").token_table)[10].copy()
    model.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss={"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    )
    model.fit(BATCH, {"logits": np.array([[1, 3], [5, 5]], "int32")}, epochs=1, verbose=0)
    # Token 10 is not in the batch: only the softmax over the vocabulary can have moved it.
    moved = to_numpy(model.get_layer("embedding").token_table)[10]
    assert np.abs(moved - untouched).max() > 1e-4


def test_gather_positions():
    hidden = np.arange(2 * 3 * 4, dtype="float32").reshape(2, 3, 4)
    positions = keras.ops.convert_to_tensor([[2, 0], [1, 1]], "int32")
    gathered = to_numpy(gather_positions(keras.ops.convert_to_tensor(hidden), positions))
    np.testing.assert_array_equal(gathered, [hidden[0, [2, 0]], hidden[1, [1, 1]]])


def test_four_ways_to_call_agree():
    """Tied or free, at positions or everywhere: one function of the same numbers."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(2, 3, D)).astype("float32")
    table = random.normal(size=(V, D)).astype("float32")
    tied, free = MaskedLMHead(V), MaskedLMHead(V)
    everywhere = tied(hidden, token_table=table)
    free(hidden)
    free.dense.set_weights(tied.dense.get_weights())
    free.kernel.assign(table.T)
    np.testing.assert_allclose(to_numpy(free(hidden)), to_numpy(everywhere), atol=1e-6)
    positions = BATCH["mask_positions"]
    expected = to_numpy(everywhere)[np.arange(2)[:, None], positions]
    np.testing.assert_allclose(to_numpy(tied(hidden, positions, table)), expected, atol=1e-6)
    np.testing.assert_allclose(to_numpy(free(hidden, positions)), expected, atol=1e-6)


def test_narrower_embedding():
    """ALBERT's hidden states are wider than its token table."""
    hidden, table = np.ones((2, 3, 6), "float32"), np.ones((V, D), "float32")
    head = MaskedLMHead(V, hidden_dim=D)
    assert tuple(head(hidden, token_table=table).shape) == (2, 3, V)
    assert tuple(head.dense.kernel.shape) == (6, D)
    assert head.compute_output_shape((2, 3, 6)) == (2, 3, V)


def test_table_of_another_shape_is_refused():
    hidden = np.ones((2, 3, D), "float32")
    message = r"`token_table` must have shape \(vocab_size, hidden_dim\) = \(11, 4\). Received: "
    head = MaskedLMHead(V)
    for _ in ("while it is built", "later"):
        with pytest.raises(ValueError, match=message + r"token_table.shape=\(11, 5\)"):
            head(hidden, BATCH["mask_positions"], np.ones((V, 5), "float32"))
        head(hidden, BATCH["mask_positions"], np.ones((V, D), "float32"))


@pytest.mark.parametrize("tied", [True, False])
def test_head_is_tied_or_free_for_good(tied):
    hidden, table = np.ones((2, 3, D), "float32"), np.ones((V, D), "float32")
    head = MaskedLMHead(V)
    head(hidden, token_table=table if tied else None)
    message = f"was built {'with' if tied else 'without'} it. Received: token_table="
    with pytest.raises(ValueError, match=message + ("None" if tied else "a table")):
        head(hidden, token_table=None if tied else table)


def test_positions_of_another_rank_are_refused():
    message = r"`mask_positions` must have shape \(B, P\). Received: mask_positions.shape=\(2,\)"
    with pytest.raises(ValueError, match=message):
        MaskedLMHead(V)(np.ones((2, 3, D), "float32"), np.array([1, 2], "int32"))
