"""Weights in and out of safetensors files, and between two sets of names and layouts."""

from kzoo.weights.files import read_tensors, write_tensors
from kzoo.weights.table import Entry, Split, Table, Transform, expand, rename, restore

__all__ = [
    "Entry",
    "Split",
    "Table",
    "Transform",
    "expand",
    "read_tensors",
    "rename",
    "restore",
    "write_tensors",
]
