"""How good a model is, how fast, and which of its layers is at fault."""
