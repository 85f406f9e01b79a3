"""Make the recommended file again with LiteRT's quantizer alone, without the course.

    pip install litert-quantizer
    python reproduce.py

The course's own file may differ from this one in three places: an operator that reads a shape is
let read it from integers, a filter of nothing gets a scale in which its bias fits, and a file
without names for its tensors got some.
"""

import json
from pathlib import Path

import numpy as np
from litert_quantizer import calibrator, quantizer
from litert_quantizer.utils import qsv_utils

HERE = Path(__file__).resolve().parent
# What was quantized, and how; written when the file was made.
FLOAT_FILE = "files/float32.tflite"
SIGNATURE = "serving_default"
SAMPLES: dict[str, str] = {}  # the samples that calibrate, .npy files by input name
SHAPES: dict[str, list[int]] = {}  # of what one call takes
BATCH = 1  # samples in one call
UPDATE = "min_max_update"  # what is kept of a tensor's ranges in several samples


def representative_dataset():
    """Yield what each call of the model takes, by the inputs' names."""
    arrays = {name: np.load(HERE / file, mmap_mode="r") for name, file in SAMPLES.items()}
    count = len(next(iter(arrays.values())))
    for start in range(0, count, BATCH):
        places = np.minimum(np.arange(start, start + BATCH), count - 1)
        yield {name: array[places].reshape(SHAPES[name]) for name, array in arrays.items()}


content = (HERE / FLOAT_FILE).read_bytes()
recipe = json.loads((HERE / "recipe.json").read_text())["recipe"]
engine = quantizer.Quantizer(content, recipe)
ranges = None
if engine.need_calibration:
    ranges_of = calibrator.Calibrator(
        content,
        num_threads=1,
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=getattr(qsv_utils, UPDATE),
    )
    for sample in representative_dataset():
        ranges_of.calibrate({SIGNATURE: [sample]}, None)
    ranges = ranges_of.get_model_qsvs()
made = bytes(engine.quantize(ranges).quantized_model)
(HERE / "reproduced.tflite").write_bytes(made)
same = made == (HERE / "recommended.tflite").read_bytes()
print("reproduced.tflite has", "the bytes of" if same else "other bytes than", "recommended.tflite")
