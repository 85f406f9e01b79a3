"""Train the course's reference models and write each with its card: ``data/models/<name>``.

Run it with ``.venv/bin/python tools/train_reference.py [NAME ...]``; without a name it trains all.
Seed 0 is committed as a SavedModel, because another machine gives slightly other weights, and every
later lesson starts from it. Of the other seeds, which lessons that judge a method repeat their
measurement on, only the weights are; ``--seeds`` trains these alone.
"""

import argparse
import json
import platform
import time

from lessons_lib import (
    architectures,
    by_tensorflow,
    data,
    evaluate,
    files,
    runtime,
    sources,
    training,
)
from lessons_lib.system.quiet import tensorflow

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--seeds", action="store_true", help="only the trainings with other seeds")
    arguments = parser.parse_args()
    for name in arguments.names or training.REFERENCES:
        card = training.card(name) if arguments.seeds else make(name)
        card["trainings"] = trainings(name, card["accuracy"])
        text = json.dumps(card, indent=2) + "\n"
        files.write_atomic(training.MODELS_FOLDER / name / "card.json", text)
        print(text)


def make(name: str) -> dict:
    """Train with seed 0, save, and return the card."""
    dataset = data.load("mnist")
    model = architectures.build(name, SEED)
    start = time.perf_counter()
    training.fit(model, dataset, seed=SEED)
    seconds = time.perf_counter() - start
    folder = sources.save(model, training.MODELS_FOLDER / name / "saved_model")
    return {**describe(name, folder, dataset), "training_seconds": round(seconds, 1)}


def trainings(name: str, accuracy: float) -> list[dict]:
    """Train with the other seeds, write their weights, and return a line for each seed."""
    dataset, lines = data.load("mnist"), [{"seed": SEED, "accuracy": accuracy}]
    for seed in training.SEEDS[1:]:
        model = architectures.build(name, seed)
        training.fit(model, dataset, seed=seed)
        file = training.write_weights(model, training.seed_weights(name, seed))
        found = measured(training.reference(name, seed), dataset)["accuracy"]
        lines.append({"seed": seed, "accuracy": found, "sha256": files.sha256(file)})
    return lines


def describe(name: str, folder, dataset) -> dict:
    """The card: what is needed to make this model again, and to recognise it."""
    licence = "weights: MIT, like the code; trained on MNIST (CC BY-SA 3.0)"
    return {**origin(name, dataset), **measured(folder, dataset), "licence": licence}


def origin(name: str, dataset) -> dict:
    """What the model was made of, and how."""
    tf = tensorflow()
    return {
        "name": name,
        "architecture": f"lessons_lib.models.{name}",
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
    tflite = by_tensorflow.convert(folder, "float32")
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
