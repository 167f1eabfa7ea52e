"""The parts transformers are made of, for TensorFlow, JAX and PyTorch."""

from kzoo.layers.attention.functional import static_graph
from kzoo.layers.attention.multi_head import MultiHeadAttention
from kzoo.layers.block import TransformerBlock
from kzoo.layers.embedding import BertEmbedding, TokenEmbedding
from kzoo.layers.feed_forward import FeedForward
from kzoo.layers.heads.masked_lm import MaskedLMHead
from kzoo.layers.heads.next_sentence import NextSentenceHead
from kzoo.layers.heads.pooler import MeanPooling, Pooler
from kzoo.layers.normalization import LayerNorm
from kzoo.layers.positions.absolute import LearnedPositions, SinusoidalPositions

__all__ = [
    "BertEmbedding",
    "FeedForward",
    "LayerNorm",
    "LearnedPositions",
    "MaskedLMHead",
    "MeanPooling",
    "MultiHeadAttention",
    "NextSentenceHead",
    "Pooler",
    "SinusoidalPositions",
    "TokenEmbedding",
    "TransformerBlock",
    "static_graph",
]
