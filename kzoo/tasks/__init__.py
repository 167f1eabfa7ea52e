"""Heads on any backbone."""

from kzoo.problems import MultiLabelScores, Predictions, RegressionScores, Scores
from kzoo.tasks.classification import TextClassifier
from kzoo.tasks.embedding import SentenceEncoder, UnitNorm
from kzoo.tasks.finetuning import finetune
from kzoo.tasks.losses import TokenCrossentropy
from kzoo.tasks.pretraining import Pretraining

__all__ = [
    "MultiLabelScores",
    "Predictions",
    "Pretraining",
    "RegressionScores",
    "Scores",
    "SentenceEncoder",
    "TextClassifier",
    "TokenCrossentropy",
    "UnitNorm",
    "finetune",
]
