"""Checks of lesson 00: run the article. Its blanks are settings of a converter, and two functions.

The file that comes out is not looked at here: the lesson's table does that.
"""

import itertools

import numpy as np

from lessons_lib.convert import by_tensorflow, calibration
from lessons_lib.course.checks._answers import Remark, array_in, call, describe
from lessons_lib.course.checks._verdict import Verdict, report
from lessons_lib.errors import InputError
from lessons_lib.models import data
from lessons_lib.numbers import affine
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.tflite import samples

_FEW = 50


def check_space(converter: object) -> Verdict:
    """Check blank 0.1: a converter whose ``optimizations`` ask for a smaller file."""

    def passed(optimizations):
        return _optimizes(optimizations) and _leaves_alone(converter, "target_spec.supported_types")

    return report(
        "0.1",
        _setting(converter, "optimizations"),
        passed,
        "the article's own line, with the converter's right name.",
        "`DEFAULT` and its older names give the same bytes.",
    )


def check_float16(converter: object) -> Verdict:
    """Check blank 0.2: a converter that is asked for half-precision weights."""

    def passed(settings):
        types, optimizations = settings
        if not _named(types, "float16"):
            return f"`supported_types` is {_listed(types)}; it should be `[tf.float16]`."
        if not optimizations:
            return "Without `optimizations` the converter silently gives the float32 file."
        return _optimizes(optimizations) and _leaves_alone(converter)

    settings = [_setting(converter, n) for n in ("target_spec.supported_types", "optimizations")]
    return report(
        "0.2",
        settings,
        passed,
        "both lines of the article, with the converter's right name.",
        "The type alone would silently give the float32 file.",
    )


def check_generator(generator: object) -> Verdict:
    """Check blank 0.3: a function that yields calibration digits, one ``[(1, 28, 28, 1)]`` each."""
    code = getattr(getattr(generator, "__code__", None), "co_code", None)
    return report(
        "0.3",
        ... if code == (lambda: None).__code__.co_code else generator,  # still empty
        _yields_calibration_digits,
        "the article's three lines with another source: `dataset.calibration.images`.",
        "These images were neither trained on nor are they tested on.",
    )


def check_int8(converter: object) -> Verdict:
    """Check blank 0.4: a converter whose settings give integers inside and int8 at both ends."""
    names = ["optimizations", "representative_dataset", "target_spec.supported_ops"]
    names += ["inference_input_type", "inference_output_type"]

    def passed(settings):
        optimizations, dataset, ops, *ends = settings
        if (verdict := _yields_calibration_digits(dataset)) is not True:
            return f"`representative_dataset` does not pass 0.3 yet. {verdict}"
        if not _named(ops, "TFLITE_BUILTINS_INT8"):
            wanted = "[tf.lite.OpsSet.TFLITE_BUILTINS_INT8]"
            return f"`supported_ops` is {_listed(ops)}; it should be `{wanted}`."
        for name, end in zip(names[3:], ends, strict=True):
            if type(end).__name__ != "DType" or end.name != "int8":
                said = end.name if type(end).__name__ == "DType" else describe(end)
                return f"`{name}` is {said}; it should be `tf.int8`."
        if _setting(converter, "target_spec.supported_types"):
            return "`target_spec.supported_types` is set as well: that is another path."
        return _optimizes(optimizations)

    return report(
        "0.4",
        [_setting(converter, name) for name in names],
        passed,
        "the article's uint8 settings; its remark names the other type.",
        "The arithmetic inside is that of uint8; only the two ends differ.",
    )


def check_input_codes(codes: object, images: np.ndarray, scale: float, zero_point: int) -> Verdict:
    """Check blank 0.5: the uint8 codes (N, 28, 28, 1) of float32 ``images`` of the same shape."""
    x = np.asarray(images, np.float32)
    real = x / np.float32(scale) + zero_point
    multiplied = np.clip(np.rint(x * np.float32(scale)) + zero_point, 0, 255)
    expected = affine.quantize(x, scale, zero_point, signed=False)

    def passed(codes):
        found = array_in(codes, "uint8 codes", "Your answer is")
        if found.shape != x.shape:
            return f"The codes have the shape {found.shape}; the images have {x.shape}."
        if found.dtype != np.uint8:
            return f"The codes are {found.dtype}; the file takes uint8: cast them last."
        ties = np.abs(real - np.floor(real) - 0.5) < 1e-3  # any rounding of a tie is right here
        wrong = (found != expected) & ~ties
        if not wrong.any():
            return True
        if np.array_equal(found, x.astype(np.uint8)):
            return "These are the images cast as they are: nearly all zeros. Divide by the scale."
        if np.array_equal(found, multiplied):
            return f"Every code is {zero_point}: divide by the scale, not multiply."
        if np.array_equal(found[wrong], expected[wrong] - 1):
            return f"{wrong.sum():,} codes are one too low: a cast cuts off, it does not round."
        return f"{wrong.sum():,} of {wrong.size:,} codes differ from the right ones."

    return report(
        "0.5",
        codes,
        passed,
        "four steps, in this order: divide and round, add the zero point, clip, cast.",
        "The article leaves this to the reader, and so does the converter.",
    )


def configured(
    saved_model_dir: str,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
) -> object:
    """Return a TFLiteConverter of the model that is set as ``path`` wants: the course's own.

    Raises InputError for an unknown path.
    """
    with quiet():
        converter = tensorflow().lite.TFLiteConverter.from_saved_model(saved_model_dir)
    by_tensorflow.configure(converter, path, representative_dataset)
    return converter


# ---- what the checks ask of a setting


def _setting(converter: object, name: str) -> object:
    for part in name.split("."):
        converter = getattr(converter, part, None if converter is not ... else ...)
    # convert() wraps the dataset that it was given: what was right stays right.
    return getattr(converter, "input_gen", converter)


def _named(values: object, name: str) -> bool:
    """Whether a list (or the like) holds exactly TensorFlow's member of this name."""
    if not isinstance(values, list | tuple | set | frozenset):
        return False
    members = [v for v in values if type(v).__name__ in ("DType", "OpsSet", "Optimize")]
    return [v.name for v in members] == [name] and len(members) == len(values)


def _listed(values: object) -> str:
    """What a setting is, in a few words; of a list of one thing, what this thing is."""
    alone = isinstance(values, list | tuple) and len(values) == 1
    return describe(values) + (f" that holds {describe(values[0])}" if alone else "")


def _leaves_alone(converter: object, *others: str) -> bool:
    """True; Remark where a setting of the integer paths, or of ``others``, is set as well."""
    types = ("inference_input_type", "inference_output_type")
    changed = [
        name for name in types if getattr(_setting(converter, name), "name", "") != "float32"
    ]
    changed += [n for n in ("representative_dataset", *others) if _setting(converter, n)]
    if not _named(_setting(converter, "target_spec.supported_ops"), "TFLITE_BUILTINS"):
        changed.append("target_spec.supported_ops")
    if changed:
        raise Remark(f"`{changed[0]}` is set as well: that is another path.")
    return True


def _optimizes(values: object) -> bool:
    """True; Remark where ``optimizations`` would ask for nothing."""
    names = ("DEFAULT", "OPTIMIZE_FOR_SIZE", "OPTIMIZE_FOR_LATENCY")
    if getattr(values, "name", None) in names:
        raise Remark("`optimizations` is a list: put brackets around it.")
    if not any(_named(values, name) for name in names):
        raise Remark(
            f"`optimizations` is {_listed(values)}; it should be a list with a member of "
            "`tf.lite.Optimize`, such as `[tf.lite.Optimize.DEFAULT]`."
        )
    return True


def _yields_calibration_digits(generator: object) -> bool | str:
    if not callable(generator):
        return f"It is {describe(generator)}; asked is a function: its name, without parentheses."
    if not np.iterable(made := call(generator, none_is_an_answer=True)):
        return f"It returns {describe(made)}: a generator has a `yield` inside."
    images = []
    try:
        for number, sample in enumerate(itertools.islice(samples.items(generator), 10_000)):
            images.append(_only_image(number, sample))
    except (Remark, InputError) as remark:
        return str(remark)
    except Exception as error:
        return f"Your function raised {type(error).__name__}: {' '.join(str(error).split())[:160]}."
    return (
        _come_from_calibration([image.tobytes() for image in images])
        if images
        else ("It yields nothing.")
    )


def _only_image(number: int, sample: object) -> np.ndarray:
    """The image of a sample in the form that TFLiteConverter takes; ours takes more."""
    inside = list(sample.values()) if isinstance(sample, dict) else sample
    if not isinstance(inside, list | tuple):
        raise Remark(f"sample {number} is {describe(sample)} by itself: `yield [image]`.")
    if len(inside) != 1 or not isinstance(inside[0], np.ndarray):
        kinds = ", ".join(type(item).__name__ for item in inside) or "nothing"
        raise Remark(f"sample {number} is a list of {kinds}; asked is one image: `yield [image]`.")
    if inside[0].shape != (1, 28, 28, 1) or inside[0].dtype != np.float32:
        raise Remark(
            f"sample {number} is {inside[0].dtype} of shape {inside[0].shape}; the model takes "
            "float32 of shape (1, 28, 28, 1)."
        )
    return inside[0]


def _come_from_calibration(samples: list[bytes]) -> bool | str:
    dataset = data.load()
    known = {
        split.role: {image.tobytes() for image in split.images}
        for split in (dataset.calibration, dataset.train, dataset.test)
    }
    for role in ("test", "train"):
        if any(sample in known[role] for sample in samples):
            return f"There are images of the {role} split among the samples."
    if not all(sample in known["calibration"] for sample in samples):
        return "The samples are no calibration images, or they were changed."
    if len(set(samples)) < _FEW:
        return f"There are {len(set(samples))} different images; take {_FEW} or more."
    return True
