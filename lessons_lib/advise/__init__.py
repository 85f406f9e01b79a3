"""Which file to take for a model, found by trying: the tries, what mends them, what to choose."""
