"""Networks in NumPy: exact integer arithmetic for the decoder, plain float32 for the encoder."""
