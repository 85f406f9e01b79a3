"""Data, and float models: their architectures, their training, where they come from."""
