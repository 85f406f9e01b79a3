"""What is in a ``.tflite`` file, read without running it."""
