"""What training needs besides a model and data."""

from kzoo.training.optimizers import AdamW

__all__ = ["AdamW"]
