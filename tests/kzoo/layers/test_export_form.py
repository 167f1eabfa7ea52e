"""Inside `static_graph` a stack of blocks lowers to the ops that runtimes have fast kernels for."""

from collections import Counter

import keras
import numpy as np
import pytest

from kzoo.layers import (
    BertEmbedding,
    FeedForward,
    MultiHeadAttention,
    Pooler,
    TransformerBlock,
    static_graph,
)
from tests.arrays import to_numpy
from tests.checks import randomize

LENGTH, NUM_LAYERS, VOCAB_SIZE = 6, 2, 13
NAMES = ("token_ids", "segment_ids", "padding_mask")
# What one block may cost, residuals and both normalizations included.
TFLITE_BLOCK = Counter(
    FULLY_CONNECTED=6,
    BATCH_MATMUL=2,
    SOFTMAX=1,
    GELU=1,
    RESHAPE=4,  # to heads three times, and back
    TRANSPOSE=4,
    ADD=7,  # mask, two residuals, and epsilon and beta of two normalizations
    MEAN=4,
    SUB=2,
    MUL=6,
    RSQRT=2,
)
# Embedding, its normalization, the mask (once for all blocks) and the pooler.
TFLITE_REST = Counter(
    GATHER=2,
    LESS=2,  # `keras.ops.take` lets negative ids count from the end
    SELECT=2,
    CAST=1,
    ADD=6,
    SUB=2,
    MUL=4,
    MEAN=2,
    RSQRT=1,
    STRIDED_SLICE=1,
    FULLY_CONNECTED=1,
    TANH=1,
)
ONNX_BLOCK = Counter(
    MatMul=8, Softmax=1, Gelu=1, LayerNormalization=2, Reshape=4, Transpose=4, Add=9, Mul=1
)


@pytest.fixture(scope="module")
def model():
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in NAMES}
    embedding = BertEmbedding(VOCAB_SIZE, 8, max_length=2 * LENGTH)
    hidden = embedding(inputs["token_ids"], inputs["segment_ids"])
    for _ in range(NUM_LAYERS):
        block = TransformerBlock(MultiHeadAttention(num_heads=2), FeedForward(mlp_dim=16))
        hidden = block(hidden, mask=inputs["padding_mask"])
    model = keras.Model(inputs, {"hidden": hidden, "pooled": Pooler()(hidden)})
    randomize(model)
    return model


def batch(length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = random.integers(0, VOCAB_SIZE, (1, length)), random.integers(0, 2, (1, length))
    mask = np.arange(length)[None] < length - 2
    return {name: a.astype("int32") for name, a in zip(NAMES, (*arrays, mask), strict=True)}


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TFLite lowers from TensorFlow")
def test_tflite_ops(model, tmp_path):
    lengths = (LENGTH, 2 * LENGTH)
    for length in lengths:  # one model, no length baked in
        interpreter = _tflite(model, length, tmp_path / str(length))
        outputs = interpreter.get_signature_runner()(**batch(length))
        for name, expected in model(batch(length)).items():
            # Float32 in another order, twice through a block.
            np.testing.assert_allclose(outputs[name], to_numpy(expected), atol=2e-5)
        names = (op["op_name"] for op in interpreter._get_ops_details())
        ops = Counter(name for name in names if name != "DELEGATE")
        allowed = TFLITE_REST + Counter({op: n * NUM_LAYERS for op, n in TFLITE_BLOCK.items()})
        assert ops <= allowed, f"beyond what is allowed: {ops - allowed}"


def _tflite(model, length, folder):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    shapes = {name: keras.InputSpec("int32", (1, length), name=name) for name in NAMES}
    with static_graph():
        model.export(folder, format="tf_saved_model", input_signature=[shapes], verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


# PyTorch's exporter copies its own tree specifications, which warn of their own deprecation.
@pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"
)
@pytest.mark.skipif(keras.config.backend() != "torch", reason="ONNX lowers best from PyTorch")
def test_onnx_nodes(model):
    import torch

    class Positional(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *tensors):
            return tuple(self.model(dict(zip(NAMES, tensors, strict=True))).values())

    tensors = tuple(torch.from_numpy(array) for array in batch(LENGTH).values())
    with static_graph(), torch.no_grad():
        program = torch.onnx.export(
            Positional().eval(), tensors, dynamo=True, opset_version=23, verbose=False
        )
    nodes = Counter(node.op_type for node in program.model.graph)
    for op, count in ONNX_BLOCK.items():
        assert nodes[op] >= count * NUM_LAYERS, op
    assert nodes["LayerNormalization"] == 2 * NUM_LAYERS + 1
    assert nodes["Gelu"] == NUM_LAYERS
    # Lookups, positions, the mask (once for all blocks) and the pooler.
    assert sum(nodes.values()) <= NUM_LAYERS * sum(ONNX_BLOCK.values()) + 25
