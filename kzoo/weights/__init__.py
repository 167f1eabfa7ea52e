"""Weights in and out of safetensors files, and between two sets of names."""

from kzoo.weights.files import read_tensors, write_tensors
from kzoo.weights.table import rename, restore

__all__ = ["read_tensors", "rename", "restore", "write_tensors"]
