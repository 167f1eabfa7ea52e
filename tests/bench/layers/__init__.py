"""Benchmarks of the layers: `python -m tests.bench.layers`."""
