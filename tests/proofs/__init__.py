"""What takes too long for a test: `make proof [PROOF=name]`. Resumable; CI runs it at toy size."""
