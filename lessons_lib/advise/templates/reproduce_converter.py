"""Make the recommended file again with TensorFlow alone, without the course.

pip install "tensorflow"
python reproduce.py
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).resolve().parent
# What was converted, and how; written when the file was made.
SAVED_MODEL = "work/saved_model"
SIGNATURES: list[str] | None = None  # all of them where it has one only
SAMPLES: dict[str, str] = {}  # the samples that calibrate, .npy files by input name
SHAPES: dict[str, list[int]] = {}  # of what one call takes
BATCH = 1  # samples in one call
OPTIMIZE = True
SUPPORTED_OPS: list[str] = []
SUPPORTED_TYPES: list[str] = []
INPUT_TYPE = "float32"
OUTPUT_TYPE = "float32"


def representative_dataset():
    """Yield what each call of the model takes, by the inputs' names."""
    arrays = {name: np.load(HERE / file, mmap_mode="r") for name, file in SAMPLES.items()}
    count = len(next(iter(arrays.values())))
    for start in range(0, count, BATCH):
        places = np.minimum(np.arange(start, start + BATCH), count - 1)
        yield {name: array[places].reshape(SHAPES[name]) for name, array in arrays.items()}


converter = tf.lite.TFLiteConverter.from_saved_model(
    str(HERE / SAVED_MODEL), signature_keys=SIGNATURES
)
if OPTIMIZE:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
if SAMPLES:
    converter.representative_dataset = representative_dataset
if SUPPORTED_OPS:
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, op) for op in SUPPORTED_OPS]
converter.target_spec.supported_types = [getattr(tf, name) for name in SUPPORTED_TYPES]
converter.inference_input_type = getattr(tf, INPUT_TYPE)
converter.inference_output_type = getattr(tf, OUTPUT_TYPE)
made = converter.convert()
(HERE / "reproduced.tflite").write_bytes(made)
same = made == (HERE / "recommended.tflite").read_bytes()
print("reproduced.tflite has", "the bytes of" if same else "other bytes than", "recommended.tflite")
