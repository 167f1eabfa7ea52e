"""Tests of the file side of an export."""
