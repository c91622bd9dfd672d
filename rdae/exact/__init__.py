"""Networks in exact integer arithmetic, by a compiled kernel or by NumPy."""
