"""TFLite: convert, quantize, run and look inside `.tflite` files."""
