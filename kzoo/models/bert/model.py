"""The BERT encoder."""

from typing import ClassVar

import keras

from kzoo.models.backbone import Backbone
from kzoo.models.bert.config import BertConfig
from kzoo.models.encoder import OUTPUT_KINDS, encoder_graph


@keras.saving.register_keras_serializable("kzoo")
class BertBackbone(Backbone, keras.Model):
    """BERT without a head: embeddings, post-norm transformer blocks and, by config, a pooler.

    The inputs are int32 (B, T): `token_ids`, `segment_ids`, and `padding_mask` with 1 at real
    tokens and 0 at padding; with `num_segments` below 2 there are no `segment_ids`. The outputs are
    `hidden` (B, T, D) and, where `config.pooler`, `pooled` (B, D).

    Args:
        config: The sizes of the model.
        dtype: Dtype policy of the layers; by default the global one.
        name: Name of the model.

    Example:
        >>> import numpy as np
        >>> from kzoo.models import BertBackbone, BertConfig
        >>> config = BertConfig(vocab_size=100, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
        >>> ids = np.ones((2, 5), "int32")
        >>> inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids}
        >>> tuple(BertBackbone(config)(inputs)["hidden"].shape)
        (2, 5, 8)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, https://arxiv.org/abs/1810.04805, section 3.
    """

    config_class = BertConfig
    output_kinds: ClassVar = OUTPUT_KINDS
    graph = staticmethod(encoder_graph)
