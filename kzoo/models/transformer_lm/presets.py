"""The published Transformer language models: none, for the tutorial trains its own.

The defaults of `TransformerLMConfig` are the tutorial's sizes.
"""

from kzoo.models.preset import Preset

PRESETS: dict[str, Preset] = {}
