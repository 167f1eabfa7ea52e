"""The file side of an export: open, run, compare, measure, accept and save files, without Keras."""
