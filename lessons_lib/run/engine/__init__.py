"""Integer-only inference from scratch, bit-exact with a named runtime."""
