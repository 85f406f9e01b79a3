"""Ways to run a model: LiteRT, TFLite-Micro, and our own integer engine."""
