"""Heads against the same heads of Hugging Face and of KerasHub, with random weights."""

import keras
import numpy as np
import pytest

from kzoo.layers import MaskedLMHead, ReplacedTokenHead, SentenceOrderHead
from tests.arrays import assert_close, to_numpy

B, T, D, E, V = 3, 6, 16, 8, 21
EPSILON = 1e-6
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
TABLE = random.normal(size=(V, E)).astype("float32")
POSITIONS = random.integers(0, T, (B, 2)).astype("int32")
TOLERANCE = 1e-5
BACKEND = keras.config.backend()


def torch_weights(module):
    """Random weights for a PyTorch module, by name."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return {name: value.numpy() for name, value in module.state_dict().items()}


def affine(layer, weights, name):
    layer.set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])


def scale_and_shift(layer, weights, name):
    layer.set_weights([weights[f"{name}.weight"], weights[f"{name}.bias"]])


def call_torch(module, inputs):
    import torch

    with torch.no_grad():
        return module.eval()(torch.from_numpy(inputs)).numpy()


@pytest.mark.skipif(BACKEND != "torch", reason="transformers computes in PyTorch")
class TestHuggingFace:
    def test_masked_lm_head_of_bert(self):
        from transformers import BertConfig
        from transformers.models.bert.modeling_bert import BertLMPredictionHead, BertOnlyMLMHead

        config = BertConfig(vocab_size=V, hidden_size=D, layer_norm_eps=EPSILON)
        for module, prefix in (
            (BertLMPredictionHead(config), ""),
            (BertOnlyMLMHead(config), "predictions."),
        ):
            weights = torch_weights(module)
            head = MaskedLMHead(V, norm_epsilon=EPSILON)
            head(HIDDEN)
            affine(head.dense, weights, f"{prefix}transform.dense")
            scale_and_shift(head.norm, weights, f"{prefix}transform.LayerNorm")
            head.kernel.assign(weights[f"{prefix}decoder.weight"].T)
            head.bias.assign(weights[f"{prefix}decoder.bias"])
            assert_close(head(HIDDEN), call_torch(module, HIDDEN), TOLERANCE)

    def test_masked_lm_head_of_albert(self):
        from transformers import AlbertConfig
        from transformers.models.albert.modeling_albert import AlbertMLMHead

        config = AlbertConfig(
            vocab_size=V, hidden_size=D, embedding_size=E, hidden_act="gelu", layer_norm_eps=EPSILON
        )
        module = AlbertMLMHead(config)
        weights = torch_weights(module)
        head = MaskedLMHead(V, hidden_dim=E, norm_epsilon=EPSILON)
        head(HIDDEN, token_table=TABLE)
        affine(head.dense, weights, "dense")
        scale_and_shift(head.norm, weights, "LayerNorm")
        head.bias.assign(weights["decoder.bias"])
        table = weights["decoder.weight"]
        expected = call_torch(module, HIDDEN)
        assert_close(head(HIDDEN, token_table=table), expected, TOLERANCE)
        at_positions = expected[np.arange(B)[:, None], POSITIONS]
        assert_close(head(HIDDEN, POSITIONS, table), at_positions, TOLERANCE)

    def test_replaced_token_head_of_electra(self):
        from transformers import ElectraConfig
        from transformers.models.electra.modeling_electra import ElectraDiscriminatorPredictions

        module = ElectraDiscriminatorPredictions(ElectraConfig(hidden_size=D))
        weights = torch_weights(module)
        head = ReplacedTokenHead()
        head(HIDDEN)
        affine(head.dense, weights, "dense")
        affine(head.out, weights, "dense_prediction")
        assert_close(head(HIDDEN), call_torch(module, HIDDEN), TOLERANCE)

    def test_sentence_order_head_of_albert(self):
        from transformers import AlbertConfig
        from transformers.models.albert.modeling_albert import AlbertSOPHead

        module = AlbertSOPHead(AlbertConfig(hidden_size=D))
        weights = torch_weights(module)
        head = SentenceOrderHead()
        head(HIDDEN[:, 0])
        affine(head.dense, weights, "classifier")
        assert_close(head(HIDDEN[:, 0]), call_torch(module, HIDDEN[:, 0]), TOLERANCE)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="KerasHub loads TensorFlow")
@pytest.mark.parametrize("tied", [True, False])
def test_masked_lm_head_of_kerashub(tied):
    import keras_hub

    table = keras_hub.layers.ReversibleEmbedding(V, D)
    table(POSITIONS)
    theirs = keras_hub.layers.MaskedLMHead(
        vocabulary_size=V,
        token_embedding=table if tied else None,
        intermediate_activation="gelu",
        layer_norm_epsilon=EPSILON,
    )
    theirs(HIDDEN, mask_positions=POSITIONS)
    for weight in (*theirs.weights, *table.weights):
        weight.assign(random.normal(size=weight.shape))
    shared = to_numpy(table.embeddings) if tied else None
    ours = MaskedLMHead(V, norm_epsilon=EPSILON)
    ours(HIDDEN, POSITIONS, shared)
    ours.dense.set_weights(theirs._intermediate_dense.get_weights())
    ours.norm.set_weights(theirs._intermediate_layer_norm.get_weights())
    ours.bias.assign(theirs._bias)
    if not tied:
        ours.kernel.assign(theirs._kernel)
    expected = to_numpy(theirs(HIDDEN, mask_positions=POSITIONS))
    assert_close(ours(HIDDEN, POSITIONS, shared), expected, TOLERANCE)
