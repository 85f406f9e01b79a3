"""Train the course's reference model and write it with its card: ``data/models/mnist_cnn``.

Run it with ``.venv/bin/python tools/train_reference.py``. The SavedModel is committed, because
another machine gives slightly other weights, and every later lesson starts from these.
"""

import json
import platform
import time

from lessons_lib import convert, data, evaluate, files, models, runtime, training
from lessons_lib.quiet import tensorflow

NAME, SEED = "mnist_cnn", 0


def main() -> None:
    dataset = data.load("mnist")
    model = models.build(NAME, SEED)
    start = time.perf_counter()
    training.fit(model, dataset, seed=SEED)
    seconds = time.perf_counter() - start
    folder = training.save(model, training.MODELS_FOLDER / NAME / "saved_model")
    card = describe(folder, dataset)
    card["training_seconds"] = round(seconds, 1)
    text = json.dumps(card, indent=2) + "\n"
    files.write_atomic(training.MODELS_FOLDER / NAME / "card.json", text)
    print(text)


def describe(folder, dataset) -> dict:
    """The card: what is needed to make this model again, and to recognise it."""
    licence = "weights: MIT, like the code; trained on MNIST (CC BY-SA 3.0)"
    return {**origin(dataset), **measured(folder, dataset), "licence": licence}


def origin(dataset) -> dict:
    """What the model was made of, and how."""
    tf = tensorflow()
    return {
        "name": NAME,
        "architecture": f"lessons_lib.models.{NAME}",
        "trained_on": f"{dataset.name}, train split, {len(dataset.train)} images",
        "recipe": training.RECIPE,
        "seed": SEED,
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": tf.keras.__version__,
        },
    }


def measured(folder, dataset) -> dict:
    """How well the model does, and the size and checksum of its float32 ``.tflite``."""
    tflite = convert.convert(folder, "float32")
    predicted = runtime.Model(tflite).classes(dataset.test.images)
    accuracy = evaluate.accuracy(predicted, dataset.test.labels)
    return {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "tested_on": f"{dataset.name}, test split, {accuracy.total} images",
        "float32_tflite_bytes": len(tflite),
        "float32_tflite_sha256": files.sha256(tflite),
    }


if __name__ == "__main__":
    main()
