"""Heads: from hidden states to the outputs of a task."""
