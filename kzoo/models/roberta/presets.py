"""The published RoBERTa models."""

from kzoo.models.preset import Preset
from kzoo.models.roberta.config import RobertaConfig

PRESETS: dict[str, Preset] = {
    "distilroberta_base": Preset(
        RobertaConfig(num_layers=6),
        "distilbert/distilroberta-base",
        "Apache-2.0",
        82_118_400,
        "English",
    ),
    "roberta_base": Preset(
        RobertaConfig(), "FacebookAI/roberta-base", "MIT", 124_645_632, "English"
    ),
    "roberta_large": Preset(
        RobertaConfig(num_layers=24, num_heads=16, hidden_dim=1024, mlp_dim=4096),
        "FacebookAI/roberta-large",
        "MIT",
        355_359_744,
        "English",
    ),
}
