"""Benchmarks of the exported files against what the usual exporters give for the same weights.

Run with `make bench`, or `python -m tests.bench --help` from the repository root. Pytest does not
collect this package.
"""
