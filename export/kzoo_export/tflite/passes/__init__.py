"""Rewrites of the graphs of TFLite files."""
