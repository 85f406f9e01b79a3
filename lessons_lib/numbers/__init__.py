"""The mathematics of quantization, from scratch in NumPy."""
