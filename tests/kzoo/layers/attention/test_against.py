"""Multi-head attention beside the layers of Keras and PyTorch, with the same random weights."""

import keras
import numpy as np
import pytest

from kzoo.layers import MultiHeadAttention
from tests.arrays import assert_close, to_numpy
from tests.checks import randomize

B, T, S, N, H, D = 2, 5, 7, 4, 3, 12
random = np.random.default_rng(0)
HIDDEN = random.normal(size=(B, T, D)).astype("float32")
CONTEXT = random.normal(size=(B, S, 6)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], bool)
CONTEXT_MASK = random.random((B, S)) < 0.7
# The same float32 sums, in another order.
TOLERANCE = 1e-5


@pytest.mark.parametrize("context", [None, CONTEXT], ids=["self", "cross"])
@pytest.mark.parametrize("num_kv_heads", [N, 2, 1])
def test_agrees_with_keras(context, num_kv_heads):
    causal = context is None
    ours = MultiHeadAttention(N, num_kv_heads, head_dim=H, causal=causal)
    if num_kv_heads == N:
        theirs, prefix = keras.layers.MultiHeadAttention(num_heads=N, key_dim=H), ""
    else:
        theirs, prefix = keras.layers.GroupQueryAttention(H, N, num_kv_heads), "_"
    attended = HIDDEN if context is None else context
    mask = PADDING_MASK if context is None else CONTEXT_MASK
    ours(HIDDEN, context)
    theirs(HIDDEN, attended)
    randomize(ours)
    for name in ("query", "key", "value", "out"):
        target = getattr(theirs, f"{prefix}{name.replace('out', 'output')}_dense")
        for weight, like in zip(getattr(ours, name).weights, target.weights, strict=True):
            like.assign(to_numpy(weight).reshape(like.shape))
    pairs = np.broadcast_to(mask[:, None, :], (B, T, mask.shape[1]))
    expected = theirs(HIDDEN, attended, attention_mask=pairs, use_causal_mask=causal)
    assert_close(ours(HIDDEN, context, mask=mask), to_numpy(expected), TOLERANCE)
    scores = ours(HIDDEN, context, mask=mask, return_scores=True)[1]
    weights = theirs(
        HIDDEN,
        attended,
        attention_mask=pairs,
        use_causal_mask=causal,
        return_attention_scores=True,
    )[1]
    assert_close(scores, to_numpy(weights), TOLERANCE)


@pytest.mark.once
@pytest.mark.parametrize("causal", [False, True])
def test_agrees_with_torch(causal):
    torch = pytest.importorskip("torch")
    ours = MultiHeadAttention(N, causal=causal)
    ours.build((B, T, D))
    randomize(ours)
    theirs = torch.nn.MultiheadAttention(D, N, batch_first=True).eval()
    layers = ours.query, ours.key, ours.value
    joined = [np.concatenate([to_numpy(x.weights[i]) for x in layers], axis=-1) for i in (0, 1)]
    state = {
        "in_proj_weight": joined[0].T,
        "in_proj_bias": joined[1],
        "out_proj.weight": to_numpy(ours.out.kernel).T,
        "out_proj.bias": to_numpy(ours.out.bias),
    }
    theirs.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    hidden, padding = torch.from_numpy(HIDDEN), torch.from_numpy(~PADDING_MASK)
    future = torch.ones(T, T, dtype=torch.bool).triu(1) if causal else None
    with torch.no_grad():
        expected, weights = theirs(
            hidden,
            hidden,
            hidden,
            key_padding_mask=padding,
            attn_mask=future,
            average_attn_weights=False,
        )
    output, scores = ours(HIDDEN, mask=PADDING_MASK, return_scores=True)
    assert_close(output, expected.numpy(), TOLERANCE)
    assert_close(scores, weights.numpy(), TOLERANCE)
