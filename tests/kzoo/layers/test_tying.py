"""A table that two layers of a functional model share is still shared by its clones and files."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from kzoo.layers import BertEmbedding, LayerNorm, MaskedLMHead, TiedProjection, TokenEmbedding
from tests.arrays import to_numpy
from tests.checks import randomize

V, D = 11, 4
IDS = np.array([[1, 2, 3], [4, 5, 6]], "int32")
POSITIONS = np.array([[0, 2], [1, 1]], "int32")
Copy = Callable[[keras.Model, Path], keras.Model]


def embedding(kind: str = "token", **kwargs) -> keras.layers.Layer:
    if kind == "token":
        return TokenEmbedding(V, D, name="embedding", **kwargs)
    return BertEmbedding(V, D, max_length=5, name="embedding", **kwargs)


def table_of(layer: keras.layers.Layer) -> keras.Variable:
    return layer.tokens.table if isinstance(layer, BertEmbedding) else layer.table


def projection(kind: str = "token") -> keras.Model:
    ids, layer = keras.Input((None,), dtype="int32", name="ids"), embedding(kind)
    hidden = keras.layers.Dense(D, bias_initializer="ones")(layer(ids))
    return keras.Model({"ids": ids}, TiedProjection(use_bias=True)(hidden, table_of(layer)))


def head(kind: str = "token") -> keras.Model:
    ids, layer = keras.Input((None,), dtype="int32", name="ids"), embedding(kind)
    positions = keras.Input((None,), dtype="int32", name="positions")
    logits = MaskedLMHead(V)(layer(ids), positions, table_of(layer))
    return keras.Model({"ids": ids, "positions": positions}, logits)


def saved(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def cloned(model: keras.Model, folder: Path) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def from_json(model: keras.Model, folder: Path) -> keras.Model:
    copy = keras.models.model_from_json(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    copy.load_weights(folder / "model.weights.h5")
    return copy


def twice(model: keras.Model, folder: Path) -> keras.Model:
    return saved(cloned(saved(model, folder), folder), folder)


def itself(model: keras.Model, folder: Path) -> keras.Model:
    return model


@pytest.mark.parametrize("copy", [itself, saved, cloned, from_json, twice])
@pytest.mark.parametrize("kind", ["token", "bert"])
@pytest.mark.parametrize("make", [projection, head])
def test_copy_is_tied_to_its_own_table(
    make: Callable[[str], keras.Model], kind: str, copy: Copy, tmp_path: Path
) -> None:
    original = make(kind)
    randomize(original)
    batch = {"ids": IDS, "positions": POSITIONS} if make is head else {"ids": IDS}
    expected = to_numpy(original(batch))
    model = copy(original, tmp_path)
    assert [tuple(weight.shape) for weight in model.weights].count((V, D)) == 1
    np.testing.assert_array_equal(to_numpy(model(batch)), expected)

    # A row that is looked up by no id can reach the logits through the projection alone.
    table = to_numpy(table_of(model.get_layer("embedding"))).copy()
    table[10] = 0.0
    table_of(model.get_layer("embedding")).assign(table)
    changed = to_numpy(model(batch))
    bias = to_numpy(next(w for w in model.weights if w.shape == (V,)))[10]
    np.testing.assert_allclose(changed[..., 10], np.full(changed.shape[:2], bias), atol=1e-6)
    np.testing.assert_array_equal(changed[..., :10], expected[..., :10])
    if copy is not itself:
        np.testing.assert_array_equal(to_numpy(original(batch)), expected)


@pytest.mark.parametrize("copy", [itself, saved, cloned])
def test_training_moves_the_table_from_both_sides(copy: Copy, tmp_path: Path) -> None:
    model = copy(projection(), tmp_path)
    before = to_numpy(model.get_layer("embedding").table).copy()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss)
    model.fit({"ids": IDS}, IDS, epochs=1, verbose=0)
    moved = np.abs(to_numpy(model.get_layer("embedding").table) - before).max(axis=1)
    assert (moved > 1e-4).all(), "only the projection can have moved the rows of tokens not seen"


def test_embedding_of_two_inputs_is_tied_to_either() -> None:
    """Any tensor of the graph may ask for the table, whichever call it comes from."""
    layer = embedding()
    inputs = [keras.Input((3,), dtype="int32") for _ in range(2)]
    first, second = (layer(ids) for ids in inputs)
    model = keras.Model(inputs[1], TiedProjection()(second, layer.table))
    other = keras.Model(inputs[0], TiedProjection()(first, layer.table))
    np.testing.assert_array_equal(to_numpy(model(IDS)), to_numpy(other(IDS)))


def test_deep_graph_with_residuals_is_searched_once() -> None:
    """A search that follows every path visits 2^60 of them."""
    ids, layer = keras.Input((3,), dtype="int32"), embedding()
    hidden = layer(ids)
    for _ in range(60):
        hidden = keras.layers.add([hidden, LayerNorm()(hidden)])
    model = keras.Model(ids, TiedProjection()(hidden, layer.table))
    assert model.output_shape == (None, 3, V)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_the_table_in_float32(policy: str, tmp_path: Path) -> None:
    ids, layer = keras.Input((3,), dtype="int32"), embedding(dtype=policy)
    hidden = layer(ids)
    model = keras.Model(ids, TiedProjection(dtype=policy)(hidden, layer.table))
    assert layer(hidden, return_table=True).dtype == "float32"
    expected = to_numpy(keras.ops.cast(model(IDS), "float32"))
    copy = to_numpy(keras.ops.cast(cloned(model, tmp_path)(IDS), "float32"))
    np.testing.assert_array_equal(copy, expected)


@pytest.mark.parametrize("kind", ["token", "bert"])
def test_mask_of_the_hidden_states_is_not_put_on_the_table(kind: str) -> None:
    layer = embedding(kind)
    hidden = keras.ops.convert_to_tensor(layer(IDS))
    hidden._keras_mask = keras.ops.convert_to_tensor(IDS > 1)
    table = layer(hidden, return_table=True)
    assert tuple(table.shape) == (V, D)
    assert getattr(table, "_keras_mask", None) is None


def test_eager_calls_take_the_table_as_it_is() -> None:
    layer, other = embedding(), np.ones((V, D), "float32")
    hidden = layer(IDS)
    expected = to_numpy(hidden).sum(-1, keepdims=True).repeat(V, -1)
    np.testing.assert_allclose(to_numpy(TiedProjection()(hidden, other)), expected, atol=1e-6)
    scores = np.einsum("btd,vd->btv", to_numpy(hidden), to_numpy(layer.table))
    np.testing.assert_allclose(to_numpy(TiedProjection()(hidden, layer.table)), scores, atol=1e-6)


def nested() -> tuple[keras.KerasTensor, keras.Variable]:
    ids, layer = keras.Input((3,), dtype="int32"), embedding()
    backbone = keras.Model(ids, layer(ids), name="backbone")
    return backbone(keras.Input((3,), dtype="int32")), layer.table


def elsewhere() -> tuple[keras.KerasTensor, keras.Variable]:
    layer = embedding()
    layer.build((None, 3))
    return embedding()(keras.Input((3,), dtype="int32")), layer.table


def plain() -> tuple[keras.KerasTensor, keras.Variable]:
    layer = keras.layers.Embedding(V, D, name="plain")
    return layer(keras.Input((3,), dtype="int32")), layer.embeddings


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (nested, "'embedding/table', which is inside 'backbone'"),
        (elsewhere, "'embedding/table', which is not in it"),
        (plain, "'plain/embeddings', which is inside 'plain'"),
    ],
)
@pytest.mark.parametrize("layer", [TiedProjection, lambda: MaskedLMHead(V)])
def test_variable_that_copies_would_lose_is_refused(layer, make, received: str) -> None:
    hidden, table = make()
    with pytest.raises(ValueError, match=f"clones and files stay tied.*token_table={received}"):
        layer()(hidden, token_table=table)


def test_ids_of_another_rank_are_refused() -> None:
    message = r"`token_ids` must have shape \(B, T\). Received: token_ids.shape="
    with pytest.raises(ValueError, match=message + r"\(3,\)"):
        embedding("bert")(IDS[0])
    with pytest.raises(ValueError, match=message + r"\(None, 3, 2\)"):
        embedding("bert")(keras.Input((3, 2), dtype="int32"))
