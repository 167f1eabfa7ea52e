"""Attention: masks, kernels as pure functions, and the layer that owns the weights."""
