"""The Keras side of an export: a model, prepared once for every file that is made of it."""
