"""The course's first model with weights of 4 bits, by what it observed before it was converted."""

from kept import kept
from lessons_lib import data, qat, sandbox, training


def files() -> dict[str, bytes]:
    """Return the files by what was observed; made once, in a child."""
    return kept(
        "packed_models", lambda: sandbox.call("packed_models:_converted", imported="tensorflow")
    )


def _converted() -> dict[str, bytes]:
    images = data.load("mnist").calibration.images[:100]
    seen = {"digits": images, "black images": 0 * images, "digits as bytes": 255 * images}
    model = training.load_keras("mnist_cnn")
    return {
        name: qat.convert_trained(qat.observed(model, given, weight_bits=4))
        for name, given in seen.items()
    }
