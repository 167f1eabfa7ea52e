"""Lowering: from a saved Keras model to one float32 file, in a process of its own."""
