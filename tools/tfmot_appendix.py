# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["quantization-lessons", "tensorflow-model-optimization==0.8.1", "tf-keras==2.21"]
#
# [tool.uv.sources]
# quantization-lessons = { path = "..", editable = true }
# ///
"""Quantization-aware training with tfmot (lesson 12): ``uv run tools/tfmot_appendix.py``.

tfmot, TensorFlow's Model Optimization toolkit, knows only Keras 2, which the package tf_keras keeps
alive. To get that, ``tf.keras`` must be switched for the whole process: hence a process of its own,
and an environment of its own. Writes tfmot.tflite and tfmot.json to ``artifacts/lesson12``.
"""

import json
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # before TensorFlow is imported: tf.keras is now tf_keras

from lessons_lib import data, evaluate, files, runtime, tables, training
from lessons_lib.system.quiet import quiet, tensorflow

tf = tensorflow()
with quiet():
    import tensorflow_model_optimization as tfmot

EPOCHS, SEED = 2, 0  # as in the lesson


def main() -> None:
    dataset = data.load("mnist")
    model = tfmot.quantization.keras.quantize_model(training.load_keras("ds_cnn"))
    training.fit(model, dataset, epochs=EPOCHS, seed=SEED)
    tflite = convert(model)
    accuracies = {
        kind: evaluate.accuracy(runtime.Model(tflite).classes(split.images), split.labels)
        for kind, split in {"clean": dataset.test, "hard": dataset.hard}.items()
    }
    folder = files.artifacts("lesson12")
    files.write_atomic(folder / "tfmot.tflite", tflite)
    found = describe(tflite, accuracies)
    print(files.write_atomic(folder / "tfmot.json", json.dumps(found, indent=2) + "\n").read_text())


def convert(model) -> bytes:
    """The ranges were observed in training: no representative dataset."""
    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()


def describe(tflite: bytes, accuracies: dict[str, evaluate.Proportion]) -> dict:
    """What to compare with lesson 12's file of 8 bits, per-channel."""
    weights = tables.tensors(tflite).query("role == 'weight'")
    kinds = (weights["dtype"] + " " + weights["granularity"]).value_counts()
    return {
        "tfmot": tfmot.__version__,
        "tensorflow": tf.__version__,
        "epochs": EPOCHS,
        "bytes": len(tflite),
        "integer_only": tables.audit(tflite).integer_only,
        "accuracy": {kind: str(accuracy) for kind, accuracy in accuracies.items()},
        "layers": {kind: int(count) for kind, count in kinds.items()},
    }


if __name__ == "__main__":
    main()
