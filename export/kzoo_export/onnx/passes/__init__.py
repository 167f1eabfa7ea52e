"""Rewrites of ONNX graphs: fusions for a runtime, and smaller numbers."""
