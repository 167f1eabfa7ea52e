"""Tests of the Keras side of an export."""
