"""Kinds of inputs and outputs: what declares them, and what does not."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from kzoo import layers
from kzoo.models import BertBackbone, BertConfig, TransformerLM, TransformerLMConfig
from kzoo.tasks import SentenceEncoder
from kzoo_export import export
from kzoo_export.source.kinds import find_kinds
from kzoo_export.spec import OUTPUT_KINDS

pytestmark = pytest.mark.once

HEADS: dict[str, tuple[Callable[[], keras.layers.Layer], str, str]] = {
    "masked_lm": (lambda: layers.MaskedLMHead(20), "hidden", "token_logits"),
    "next_sentence": (layers.NextSentenceHead, "pooled", "class_logits"),
    "sentence_order": (layers.SentenceOrderHead, "pooled", "class_logits"),
    "classes": (lambda: layers.SequenceClassificationHead(3), "pooled", "class_logits"),
    "tags": (lambda: layers.TokenClassificationHead(3), "hidden", "token_logits"),
    "replaced": (layers.ReplacedTokenHead, "hidden", "token_logits"),
    "span": (layers.SpanHead, "hidden", "span_logits"),
}


@pytest.fixture(scope="module")
def bert() -> keras.Model:
    return BertBackbone(
        BertConfig(vocab_size=20, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    )


def test_models_of_the_zoo_declare_their_outputs(bert: keras.Model) -> None:
    found = find_kinds(bert)
    assert found.outputs == {"hidden": "hidden_states", "pooled": "embedding"}
    assert found.inputs == {"padding_mask": "mask"}
    assert find_kinds(SentenceEncoder(bert)).outputs == {"embedding": "embedding"}
    lm = TransformerLM(TransformerLMConfig(vocab_size=20, num_heads=2, hidden_dim=8, mlp_dim=16))
    assert find_kinds(lm).outputs == {"hidden": "hidden_states", "logits": "token_logits"}


def test_every_head_declares_what_it_gives(bert: keras.Model) -> None:
    named = {name for name in layers.__all__ if name.endswith("Head")}
    assert named == {type(make()).__name__ for make, _, _ in HEADS.values()}
    outputs = {name: make()(bert.output[source]) for name, (make, source, _) in HEADS.items()}
    outputs = {**outputs, "dropped": keras.layers.Dropout(0.1)(outputs["tags"])}
    outputs["unknown"] = keras.layers.Dense(2, name="logits")(bert.output["pooled"])
    wanted = {name: kind for name, (_, _, kind) in HEADS.items()}
    assert set(wanted.values()) < set(OUTPUT_KINDS)
    found = find_kinds(keras.Model(bert.input, outputs))
    assert found.outputs == {**wanted, "dropped": "token_logits"}
    assert found.inputs == {"padding_mask": "mask"}


def test_kinds_are_found_inside_a_model_that_is_a_layer(bert: keras.Model) -> None:
    ids = {name: keras.Input((None,), dtype="int32", name=f"my_{name}") for name in bert.input}
    hidden = bert(ids)
    found = find_kinds(keras.Model(list(ids.values()), [hidden["pooled"], hidden["hidden"]]))
    assert list(found.outputs.values()) == ["embedding", "hidden_states"]
    assert found.inputs == {"my_padding_mask": "mask"}


def test_given_kinds_come_first(bert: keras.Model) -> None:
    found = find_kinds(bert, {"pooled": "class_logits", "token_ids": "token_ids"})
    assert found.outputs == {"hidden": "hidden_states", "pooled": "class_logits"}
    assert found.inputs == {"padding_mask": "mask", "token_ids": "token_ids"}
    with pytest.raises(ValueError, match=r"'poolled'.*Did you mean: pooled"):
        find_kinds(bert, {"poolled": "embedding"})
    with pytest.raises(ValueError, match=r"kinds\['pooled'\].*'logits'.*label_logits"):
        find_kinds(bert, {"pooled": "logits"})
    with pytest.raises(ValueError, match="must be a known kind"):
        find_kinds(bert, {"token_ids": "embedding"})


def test_report_says_what_was_compared_as_what(tmp_path: Path) -> None:
    """Indices in a file of 8-bit weights: some differ, where two scores are nearly the same."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,), name="a")
    scores = keras.layers.Dense(100)(inputs)
    outputs = {"scores": scores, "again": scores, "top": keras.ops.top_k(scores, 3)[1]}
    outputs["positive"] = keras.ops.greater(scores, 0.0)
    report = export(
        keras.Model(inputs, outputs),
        tmp_path / "a.onnx",
        "dynamic_int8",
        kinds={"scores": "class_logits"},
    )
    compared = {output.name: output for output in report.verification.outputs}
    kinds = {name: output.kind for name, output in compared.items()}
    assert kinds == {
        "scores": "class_logits",
        "again": None,
        "top": "integers",
        "positive": "integers",
    }
    assert json.loads(report.to_json())["verification"]["outputs"][2]["cosine_mean"] is None
    assert "undeclared: compared as plain numbers" in str(report)
