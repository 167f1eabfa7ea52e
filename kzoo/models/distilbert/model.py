"""The DistilBERT encoder."""

from typing import ClassVar

import keras

from kzoo.models.backbone import Backbone
from kzoo.models.distilbert.config import DistilBertConfig
from kzoo.models.encoder import OUTPUT_KINDS, encoder_graph


@keras.saving.register_keras_serializable("kzoo")
class DistilBertBackbone(Backbone, keras.Model):
    """DistilBERT without a head: BERT of half the layers, without segments and pooler.

    The inputs are int32 (B, T): `token_ids`, and `padding_mask` with 1 at real tokens and 0 at
    padding. The output is `hidden` (B, T, D).

    Args:
        config: The sizes of the model.
        dtype: Dtype policy of the layers; by default the global one.
        name: Name of the model.

    Example:
        >>> import numpy as np
        >>> from kzoo.models import DistilBertBackbone, DistilBertConfig
        >>> config = DistilBertConfig(100, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
        >>> ids = np.ones((2, 5), "int32")
        >>> inputs = {"token_ids": ids, "padding_mask": ids}
        >>> tuple(DistilBertBackbone(config)(inputs)["hidden"].shape)
        (2, 5, 8)

    References:
        Sanh et al., DistilBERT, a distilled version of BERT, https://arxiv.org/abs/1910.01108,
        section 3.
    """

    config_class = DistilBertConfig
    output_kinds: ClassVar = OUTPUT_KINDS
    graph = staticmethod(encoder_graph)
