"""The RoBERTa encoder."""

from typing import ClassVar

import keras

from kzoo.models.backbone import Backbone
from kzoo.models.encoder import OUTPUT_KINDS, encoder_graph
from kzoo.models.roberta.config import RobertaConfig


@keras.saving.register_keras_serializable("kzoo")
class RobertaBackbone(Backbone, keras.Model):
    """RoBERTa without a head: BERT with one segment, its positions counted from row 2.

    Row 1 of the position table is that of padding, and row 0 of none: `padding_mask` takes padding
    out of every result, so sequences are padded at the end. The inputs are int32 (B, T):
    `token_ids`, and `padding_mask` with 1 at real tokens and 0 at padding. The outputs are `hidden`
    (B, T, D) and, where `config.pooler`, `pooled` (B, D).

    Args:
        config: The sizes of the model.
        dtype: Dtype policy of the layers; by default the global one.
        name: Name of the model.

    Example:
        >>> import numpy as np
        >>> from kzoo.models import RobertaBackbone, RobertaConfig
        >>> config = RobertaConfig(100, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
        >>> ids = np.ones((2, 5), "int32")
        >>> inputs = {"token_ids": ids, "padding_mask": ids}
        >>> tuple(RobertaBackbone(config)(inputs)["hidden"].shape)
        (2, 5, 8)

    References:
        Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining Approach,
        https://arxiv.org/abs/1907.11692, section 3.
    """

    config_class = RobertaConfig
    output_kinds: ClassVar = OUTPUT_KINDS
    graph = staticmethod(encoder_graph)
