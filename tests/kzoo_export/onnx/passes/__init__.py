"""Tests of the rewrites of ONNX graphs."""
