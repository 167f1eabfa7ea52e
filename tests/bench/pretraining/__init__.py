"""Pretraining beside KerasHub and Hugging Face, and its data beside `tokenizers`."""
