"""From a float model along a path to a ``.tflite``, or to the reason why there is none."""
