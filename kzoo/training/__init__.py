"""What training needs besides a model and data."""

from kzoo.training.callbacks import ReportProgress, StepLogs, TensorBoard
from kzoo.training.checkpoints import EpochCheckpoint
from kzoo.training.fitting import fit_steps
from kzoo.training.lora import lora
from kzoo.training.optimizers import AdamW, layer_rates
from kzoo.training.plots import plot_confusion, plot_history
from kzoo.training.pretraining import pretrain
from kzoo.training.schedules import WarmupLinearDecay

__all__ = [
    "AdamW",
    "EpochCheckpoint",
    "ReportProgress",
    "StepLogs",
    "TensorBoard",
    "WarmupLinearDecay",
    "fit_steps",
    "layer_rates",
    "lora",
    "plot_confusion",
    "plot_history",
    "pretrain",
]
