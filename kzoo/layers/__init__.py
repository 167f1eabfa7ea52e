"""The parts transformers are made of, for TensorFlow, JAX and PyTorch."""

from kzoo.layers.attention.multi_head import MultiHeadAttention
from kzoo.layers.block import TransformerBlock
from kzoo.layers.embedding import BertEmbedding, TokenEmbedding
from kzoo.layers.feed_forward import FeedForward, GatedFeedForward
from kzoo.layers.graph import static_graph
from kzoo.layers.heads.masked_lm import MaskedLMHead
from kzoo.layers.heads.next_sentence import NextSentenceHead
from kzoo.layers.heads.pooler import Pooler
from kzoo.layers.heads.pooling import FirstPooling, MaxPooling, MeanPooling
from kzoo.layers.heads.replaced_token import ReplacedTokenHead
from kzoo.layers.heads.sentence_order import SentenceOrderHead
from kzoo.layers.heads.sequence_classification import SequenceClassificationHead
from kzoo.layers.heads.span import SpanHead
from kzoo.layers.heads.token_classification import TokenClassificationHead
from kzoo.layers.normalization import LayerNorm, NoNorm, RMSNorm
from kzoo.layers.patches import PatchEmbedding
from kzoo.layers.positions.absolute import (
    LearnedPositions,
    SinusoidalPositions,
    SinusoidalPositions2D,
)
from kzoo.layers.positions.alibi import AlibiBias
from kzoo.layers.positions.relative import RelativeBias
from kzoo.layers.positions.relative_keys import RelativeKeys
from kzoo.layers.positions.resize import resize_positions
from kzoo.layers.positions.rotary import RotaryPositions
from kzoo.layers.positions.shared import PositionBias
from kzoo.layers.residual import LayerScale, StochasticDepth
from kzoo.layers.tying import TiedProjection

__all__ = [
    "AlibiBias",
    "BertEmbedding",
    "FeedForward",
    "FirstPooling",
    "GatedFeedForward",
    "LayerNorm",
    "LayerScale",
    "LearnedPositions",
    "MaskedLMHead",
    "MaxPooling",
    "MeanPooling",
    "MultiHeadAttention",
    "NextSentenceHead",
    "NoNorm",
    "PatchEmbedding",
    "Pooler",
    "PositionBias",
    "RMSNorm",
    "RelativeBias",
    "RelativeKeys",
    "ReplacedTokenHead",
    "RotaryPositions",
    "SentenceOrderHead",
    "SequenceClassificationHead",
    "SinusoidalPositions",
    "SinusoidalPositions2D",
    "SpanHead",
    "StochasticDepth",
    "TiedProjection",
    "TokenClassificationHead",
    "TokenEmbedding",
    "TransformerBlock",
    "resize_positions",
    "static_graph",
]
