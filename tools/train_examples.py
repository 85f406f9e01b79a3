"""Train the models of ``examples`` and write them with their cards: ``data/models/examples``.

Run it with ``.venv/bin/python tools/train_examples.py [NAME ...]``; without a name it trains all.
``photos`` learns CIFAR-10 as TensorFlow Datasets has it, or, with ``--pixels FILE.npz --said
WORDS``, other pixels: ``train`` and ``test`` uint8 (N, 32, 32, 3), ``train_labels`` and
``test_labels``; WORDS tell the card which these are.
"""

import argparse
import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from lessons_lib import data, examples, files
from lessons_lib.system.quiet import quiet, tensorflow

SEED, TRAIN, TEST = 0, 6000, 2000
EPOCHS = {"photos": 16, "textures": 10, "pump": 20, "fruit": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--pixels", type=Path, metavar="FILE.npz", help="in CIFAR-10's place")
    parser.add_argument("--said", help="what these pixels are, for the card")
    arguments = parser.parse_args()
    for name in arguments.names or examples.NAMES:
        train, test, said = drawn(name, arguments.pixels, arguments.said)
        card = make(name, train, test) | {"trained_on": said}
        file = examples.FOLDER / "cards.json"
        cards = json.loads(file.read_text("utf-8")) if file.exists() else {}
        files.write_atomic(file, json.dumps(cards | {name: card}, indent=1) + "\n")
        print(json.dumps(card, indent=1), flush=True)


def drawn(name: str, pixels: Path | None, said: str | None) -> tuple[dict, dict, str]:
    """Return samples that train, others that test, and what a card says of them."""
    if name != "photos":
        draw = getattr(examples, name)
        words = f"examples.{name}({TRAIN}, seed={SEED + 1}); tested on ({TEST}, seed={SEED})"
        return draw(TRAIN, SEED + 1), draw(TEST, SEED), words
    if pixels is None:
        cifar = data.load("cifar10")
        parts = [(part.pixels, part.labels) for part in (cifar.train, cifar.test)]
        said = "CIFAR-10 as TensorFlow Datasets has it"
    else:
        with np.load(pixels) as stored:
            parts = [(stored[part], stored[f"{part}_labels"]) for part in ("train", "test")]
    made = [{"image": (x / 255).astype("float32"), "y": y.astype("int64")} for x, y in parts]
    return *made, said


def make(name: str, train: dict, test: dict) -> dict:
    """Train, write the Keras file, and return the card."""
    keras = tensorflow().keras
    keras.utils.set_random_seed(SEED)
    tensorflow().config.experimental.enable_op_determinism()
    with quiet():
        built = {"pump": pump, "fruit": fruit}.get(name, resnet8)(keras, train)
        fit(keras, name, built, train)
        answers = built.predict({one.name: test[one.name] for one in built.inputs}, verbose=0)
    content = packed(built)
    file = files.write_atomic(examples.FOLDER / f"{name}.keras", content)
    return {
        "parameters": built.count_params(),
        "measured": measured(answers, test),
        "epochs": EPOCHS[name],
        "seed": SEED,
        "bytes": len(content),
        "sha256": files.sha256(file),
        "keras": keras.__version__,
        "licence": "MIT, like the code",
    }


def packed(built) -> bytes:
    """The Keras file, a ZIP, compressed and without the time of day: the same model, same bytes."""
    whole = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder, "model.keras"))
        with (
            zipfile.ZipFile(Path(folder, "model.keras")) as loose,
            zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as tight,
        ):
            for name in loose.namelist():
                about = json.loads(loose.read(name)) if name == "metadata.json" else None
                content = json.dumps(about | {"date_saved": ""}) if about else loose.read(name)
                tight.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def measured(answers, test: dict) -> dict[str, float]:
    """The accuracy of the classes and, where one is asked, the mean error of the number."""
    if not isinstance(answers, dict):
        return {"accuracy": float((answers.argmax(1) == test["y"]).mean())}
    return {
        "accuracy": float((answers["kind"].argmax(1) == test["kind"]).mean()),
        "mean_absolute_error_mm": float(np.abs(answers["diameter"] - test["diameter"]).mean()),
    }


def fit(keras, name: str, built, train: dict) -> None:
    """Train a model around this one, which so stays clean: no optimizer gets into its file."""
    inputs = {one.name: train[one.name] for one in built.inputs}
    targets = {n: train[n] for n in built.output_names} if len(built.outputs) > 1 else train["y"]
    learner = keras.Model(built.input, built.output)
    if name == "photos":
        mixed = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.1, 0.1)]
        learner, inputs = keras.Sequential([*mixed, built]), inputs["image"]
    steps = EPOCHS[name] * -(-len(train[built.inputs[0].name]) // 64)
    classes = "sparse_categorical_crossentropy"
    learner.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps), 1e-4),
        loss={"kind": classes, "diameter": "mse"} if len(built.outputs) > 1 else classes,
        loss_weights={"kind": 30.0, "diameter": 1.0} if len(built.outputs) > 1 else None,
    )
    learner.fit(inputs, targets, batch_size=64, epochs=EPOCHS[name], verbose=0)


# ---- the networks


def resnet8(keras, train: dict):
    """A residual network with batch normalization, as MLPerf Tiny has it, without regularization.

    Source: Banbury et al., "MLPerf Tiny Benchmark", 2021; He et al., 2015.
    """
    layers = keras.layers
    image = keras.Input(train["image"].shape[1:], name="image")
    x = layers.ReLU()(convolved(layers, image, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(convolved(layers, x, filters, strides=strides))
        y = convolved(layers, y, filters)
        if strides != 1:
            x = convolved(layers, x, filters, kernel=1, strides=strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(int(train["y"].max()) + 1, activation="softmax", name="class")(x)
    return keras.Model(image, outputs, name="resnet8")


def convolved(layers, x, filters: int, kernel: int = 3, strides: int = 1):
    convolution = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)
    return layers.BatchNormalization(momentum=0.9)(convolution(x))


def pump(keras, train: dict):
    layers = keras.layers
    readings = keras.Input(train["readings"].shape[1:], name="readings")
    normalization = layers.Normalization(name="normalization")
    normalization.adapt(train["readings"])
    x = layers.Dense(64, activation="relu")(normalization(readings))
    x = layers.Dense(64, activation="relu")(x)
    outputs = layers.Dense(len(examples.CONDITIONS), activation="softmax", name="condition")(x)
    return keras.Model(readings, outputs, name="pump")


def fruit(keras, train: dict):
    layers = keras.layers
    picture = keras.Input(train["picture"].shape[1:], name="picture")
    sensors = keras.Input(train["sensors"].shape[1:], name="sensors")
    x = picture
    for filters in (12, 24):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    y = layers.Dense(16, activation="relu")(layers.Rescaling(1 / 500)(sensors))
    x = layers.Dense(48, activation="relu")(layers.Concatenate()([x, y]))
    kind = layers.Dense(len(examples.KINDS), activation="softmax", name="kind")(x)
    size = layers.Rescaling(20.0, 60.0, name="diameter")(layers.Dense(1)(x))
    return keras.Model([picture, sensors], {"kind": kind, "diameter": size}, name="fruit")


if __name__ == "__main__":
    main()
