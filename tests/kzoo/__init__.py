"""The tests of kzoo."""
