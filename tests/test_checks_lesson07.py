"""The checks of lesson 07 accept right answers, refuse wrong ones, and wait for the rest."""

import ast
import pathlib

import nbformat
import numpy as np

from lessons_lib import affine, checks, files, reader, runtime, tables, unseen
from lessons_lib.course.checks import lesson07
from verdicts import Answers, class_of_tests, network


def in_int16(pixels):
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def by_bits(pixels):
    return (pixels ^ 0x80).view(np.int8)


def by_a_table(pixels):
    return np.arange(-128, 128, dtype=np.int8)[pixels]


def by_a_loop(pixels):
    codes = np.empty(pixels.shape, np.int8)
    for place, pixel in np.ndenumerate(pixels):
        codes[place] = int(pixel) - 128
    return codes


def named_like_a_float(pixels):
    half = 128
    return (pixels.astype(np.int16) - half).astype(np.int8)


def in_floats(pixels):
    return (np.round(pixels / 255 / (1 / 255)) - 128).astype(np.int8)


def cast_to_floats(pixels):
    return (pixels.astype(np.float32) - 128).astype(np.int8)


def copied_to_floats(pixels):
    return (np.asarray(pixels, float) - 128).astype(np.int8)


def floats_one_by_one(pixels):
    codes = [round(int(pixel) / 255 * 255) - 128 for pixel in pixels.ravel()]
    return np.array(codes, np.int8).reshape(pixels.shape)


def by_the_library(pixels):
    return affine.quantize(pixels, 1, -128)


def only_cast(pixels):
    return pixels.astype(np.int8)


def not_cast(pixels):
    return pixels.astype(np.int16) - 128


def wrapped(pixels):
    return pixels - np.uint8(128)


def flattened(pixels):
    return by_bits(pixels).ravel()


def dense(hidden, end="", dtype="UINT8"):
    """The end of the digits' network: two dense layers, ``hidden`` behind the first."""
    return network(f"QUANTIZE>INT8 FULLY_CONNECTED{hidden} FULLY_CONNECTED SOFTMAX {end}", dtype)


TO_UINT8 = "QUANTIZE>UINT8"
ISLAND = " DEQUANTIZE>FLOAT32 ELU QUANTIZE>INT8"


def on_python_integers(accumulator, m, shift, zero_point):
    steps = (accumulator * m + 2 ** (shift - 1)) >> shift
    return max(-128, min(127, steps + zero_point))


def by_floor_division(accumulator, m, shift, zero_point):
    half = 2**shift // 2
    return int(np.clip((accumulator * m + half) // 2**shift + zero_point, -128, 127))


def away_from_zero(accumulator, m, shift, zero_point):
    size = (abs(accumulator) * m + (1 << (shift - 1))) >> shift
    steps = size if accumulator >= 0 else -size
    return np.array([max(-128, min(127, steps + zero_point))], np.int8)


def by_remainder(accumulator, m, shift, zero_point):
    steps, rest = divmod(accumulator * m, 1 << shift)
    steps += rest >= 1 << (shift - 1)
    return str(sorted((-128, steps + zero_point, 127))[1])


def clipped(steps, zero_point):
    return int(np.clip(steps + zero_point, -128, 127))


def in_steps(function):
    """A requantization by these steps, with a zero point and clipped."""
    return lambda a, m, n, zero: clipped(function(a, m, n), zero)


def nearest(a, m, n):
    return (a * m + (1 << (n - 1))) >> n


def inline(x, scale, zero_point, dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return np.clip(np.round(x / scale) + zero_point, low, high).astype(dtype)


def rounded_after(x, scale, zero_point, dtype):
    steps = np.floor(np.float64(x) / scale + zero_point + 0.5)
    ends = np.iinfo(dtype)
    return np.minimum(np.maximum(steps, ends.min), ends.max).astype(dtype)


def one_by_one(x, scale, zero_point, dtype):
    ends, codes = np.iinfo(dtype), np.empty(x.shape, dtype)
    for place, value in np.ndenumerate(x):
        codes[place] = max(ends.min, min(ends.max, round(float(value) / scale) + zero_point))
    return codes


def by_course(x, scale, zero_point, dtype):
    bits, signed = np.iinfo(dtype).bits, np.dtype(dtype).kind == "i"
    return affine.quantize(x, scale, zero_point, bits, signed)


def of_two_types(x, scale, zero_point, dtype):
    ends = (0, 255) if dtype == np.uint8 else (-128, 127)
    return np.clip(np.round(x / scale) + zero_point, *ends).astype(dtype)


def only_clipped(x, scale, zero_point, dtype):
    ends = np.iinfo(dtype)
    return np.clip(x / np.float32(scale) + zero_point, ends.min, ends.max).astype(dtype)


def floored(x, scale, zero_point, dtype):
    ends = np.iinfo(dtype)
    return np.clip(np.floor(x / np.float64(scale)) + zero_point, ends.min, ends.max).astype(dtype)


def cast_alone(x, scale, zero_point, dtype):
    return (x / np.float32(scale) + zero_point).astype(np.int32).astype(dtype)


def not_clipped(x, scale, zero_point, dtype):
    return (np.round(x / scale) + zero_point).astype(int).astype(dtype)


def in_the_type_after(x, scale, zero_point, dtype):
    return inline(x, scale, zero_point, dtype).astype(np.int32)


def as_int8(x, scale, zero_point, dtype):
    return inline(x, scale, zero_point, np.int8)


def images_clipped(x, scale, zero_point, dtype):
    return inline(np.clip(x, 0, 1), scale, zero_point, dtype)


def zero_point_behind(x, scale, zero_point, dtype):
    ends = np.iinfo(dtype)
    return (np.clip(np.round(x / scale), ends.min, ends.max) + zero_point).astype(dtype)


def operators_by_a_loop(operators):
    rows = zip(operators["operator"], operators["dtypes"], strict=True)
    return [kind for kind, dtypes in rows if "FLOAT" in dtypes]


def touching(reads_and_writes):
    """An audit that asks this of what an operator reads and of what it writes."""

    def audit(operators):
        rows = zip(operators["operator"], operators["dtypes"].str.split(" -> "), strict=True)
        return [kind for kind, (reads, writes) in rows if reads_and_writes(reads, writes)]

    return audit


def column(operators, word="FLOAT"):
    return operators["operator"][operators["dtypes"].str.contains(word)]


METER = runtime.Model(unseen.path("07_meter.tflite"))
HALF = 2 / 255


def reading(scale, zero_point, meter=METER, codes=lesson07.quantized):
    return lambda images: meter.run(codes(images, scale, zero_point, np.int8)).argmax(axis=1)


def read_well(images):
    return METER.classes(images)


def found(island="POW", read=read_well):
    return {"island": island, "read": read}


def read_pixels(images):
    codes = (np.round(images * 255).astype(np.int16) - 128).astype(np.int8)
    return METER.run(codes).argmax(axis=1)


ANSWERS = {
    checks.check_requantized: Answers(
        right={
            "the course's": lesson07.requantize,
            "on Python's integers": on_python_integers,
            "by floor division": by_floor_division,
            "ties away from zero": away_from_zero,
            "by the remainder, a text": by_remainder,
        },
        wrong={
            "the half of the example": (
                in_steps(lambda a, m, n: (a * m + 4096) >> n),
                "half of 2**n, with this shift",
            ),
            "the shift of the example": (
                in_steps(lambda a, m, n: (a * m + 4096) >> 13),
                "take the shift that is given",
            ),
            "narrow": (lambda *given: max(-127, lesson07.requantize(*given)), "begins at -128"),
            "uint8": (lambda a, m, n, z: np.clip(nearest(a, m, n) + z, 0, 255), "codes of uint8"),
            "wrapped": (
                lambda a, m, n, z: np.array(nearest(a, m, n) + z).astype(np.int8),
                "it wraps around",
            ),
            "no half": (in_steps(lambda a, m, n: (a * m) >> n), "add half of 2**n before"),
            "no clip": (lambda a, m, n, z: nearest(a, m, n) + z, "127: clip"),
            "no zero point": (lambda a, m, n, z: clipped(nearest(a, m, n), 0), "is missing"),
            "zero point taken": (lambda a, m, n, z: clipped(nearest(a, m, n), -z), "do not take"),
            "clipped first": (
                lambda a, m, n, z: clipped(nearest(a, m, n), 0) + z,
                "clip last",
            ),
            "twice the half": (in_steps(lambda a, m, n: (a * m + (1 << n)) >> n), "add half"),
            "half too early": (
                in_steps(lambda a, m, n: ((a + (1 << (n - 1))) * m) >> n),
                "multiply before",
            ),
            "a fraction": (
                lambda a, m, n, z: np.clip(a * m / 2**n + z, -128, 127),
                "a whole number",
            ),
            "rounded as a float": (in_steps(lambda a, m, n: round(a * m / 2**n)), "a float has"),
            "as a power": (in_steps(lambda a, m, n: np.rint(a * m * 2.0**-n)), "a float has lost"),
            "a float that is exact": (
                lambda a, m, n, z: on_python_integers(a, m, n, z) + int(0 / 2),
                "has no floats, and here are some: the number",
            ),
            "shifted left": (in_steps(lambda a, m, n: (a * m) << n), "asked is"),
            "a code": (14, "asked is a function"),
            "three arguments": (lambda a, m, n: 14, "raised TypeError"),
        },
    ),
    checks.check_quantized: Answers(
        right={
            "the course's": lesson07.quantized,
            "in a line": inline,
            "rounded behind the zero point": rounded_after,
            "one by one": one_by_one,
            "by the library": by_course,
        },
        wrong={
            "cut off": (only_clipped, "cut off: round first"),
            "rounded down": (floored, "cut off: round"),
            "cast alone": (cast_alone, "cut off: round first"),
            "wraps around": (not_clipped, "values out of range wrap around"),
            "not cast": (in_the_type_after, "their type is int32"),
            "two types": (of_two_types, "take the ends from the dtype"),
            "multiplied": (
                lambda x, s, z, d: lesson07.quantized(x * s * s, s, z, d),
                "divide by the scale",
            ),
            "rounded up": (
                lambda x, s, z, d: np.clip(
                    np.ceil(np.float64(x) / s) + z, np.iinfo(d).min, np.iinfo(d).max
                ).astype(d),
                "rounded up",
            ),
            "always int8": (as_int8, "take the ends from the dtype"),
            "images clipped": (images_clipped, "clip the codes and not the images"),
            "zero point behind": (zero_point_behind, "clip behind the zero point"),
            "no zero point": (lambda x, s, z, d: inline(x, s, 0, d), "the zero point is missing"),
            "another sign": (lambda x, s, z, d: inline(x, s, -z, d), "add the zero point"),
            "the usual scale": (lambda x, s, z, d: inline(x, 1 / 255, z, d), "the scale that is"),
            "no scale": (lambda x, s, z, d: x.astype(d), "divide by the scale"),
            "flat": (lambda x, s, z, d: inline(x, s, z, d).ravel(), "the codes have the shape"),
            "codes": (np.arange(3), "asked is a function"),
        },
    ),
    checks.check_float_operators: Answers(
        right={
            "the course's": lesson07.float_operators,
            "by a loop": operators_by_a_loop,
            "a column": column,
            "a set": lambda operators: {*column(operators)},
            "by the column float": lambda o: list(o[o["float"]]["operator"]),
            "by a row's float": lambda o: [row.operator for _, row in o.iterrows() if row["float"]],
            "an array": lambda operators: column(operators).to_numpy(),
            "a generator": lambda operators: (kind for kind in column(operators)),
        },
        wrong={
            "writers": (touching(lambda r, w: "FLOAT" in w), "who reads a float"),
            "readers": (touching(lambda r, w: "FLOAT" in r), "who writes a float"),
            "both": (touching(lambda r, w: "FLOAT" in r and "FLOAT" in w), "not only who does"),
            "float32": (lambda o: column(o, "FLOAT32"), "float16 is a float"),
            "floats only": (touching(lambda r, w: "INT" not in r + w), "with an integer beside"),
            "the others": (touching(lambda r, w: "FLOAT" not in r + w), "these are the others"),
            "all": (lambda operators: operators["operator"], "that is all of them"),
            "a mask": (lambda o: o["dtypes"].str.contains("FLOAT"), "names are asked"),
            "a table": (lambda o: o[o["dtypes"].str.contains("FLOAT")], "a list of names"),
            "a count": (lambda operators: len(column(operators)), "a list of names"),
            "dtypes": (lambda o: o["dtypes"][column(o).index], "asked is"),
            "names": (["ELU"], "asked is a function"),
        },
    ),
    checks.check_meter: Answers(
        right={
            "by the runtime": found(),
            "by the file's numbers": found(read=reading(HALF, -64)),
            "ties to the even": found(read=reading(HALF, -64, codes=inline)),
            "rounded behind the zero point": found(read=reading(HALF, -64, codes=rounded_after)),
            "in float64": found(
                read=reading(HALF, -64, codes=lambda x, *ends: inline(np.float64(x), *ends))
            ),
            "as the library names it": found("POW at Pow"),
            "a list": found(["POW"]),
            "what touches a float": found(["DEQUANTIZE", "POW", "QUANTIZE"]),
            "a list of classes": found("pow", lambda images: [*read_well(images)]),
        },
        wrong={
            "the owner's numbers": (found(read=read_pixels), "with the owner's numbers"),
            "his zero point": (found(read=reading(HALF, -128)), "the zero point is the owner's"),
            "his scale": (found(read=reading(1 / 255, -64)), "the scale is the owner's"),
            "a bare cast": (found(read=reading(HALF, -64, codes=cast_alone)), "are cut off: round"),
            "rounded down": (found(read=reading(HALF, -64, codes=floored)), "are cut off: round"),
            "no island": (found(None), "`island` is None; asked is a list of names"),
            "no zero point": (found(read=reading(HALF, 0)), "the zero point is missing"),
            "times 255": (found(read=reading(HALF / 255, -64)), "multiplied by 255 first"),
            "one class": (found(read=lambda images: np.zeros(len(images))), "of 200 hard digits"),
            "codes": (found(read=lambda i: METER.predict(i)), "ten numbers for each"),
            "an image": (found(read=lambda images: read_well(images[:1])), "the shape (1,)"),
            "the shore": (found(["DEQUANTIZE", "QUANTIZE"]), "that is the shore"),
            "a convolution": (found("CONV_2D"), "CONV_2D works on integers"),
            "an ELU": (found("ELU"), "no operator ELU"),
            "all": (
                found([*tables.operators(unseen.path("07_meter.tflite"))["operator"]]),
                "on int",
            ),
            "no function": (found(read="well"), "asked is a function"),
            "the operator alone": ("POW", "asked is a dict"),
        },
    ),
    checks.check_two_codes: Answers(
        right={
            "a tuple": (-5, 127),
            "an array": np.array([-5, 127], np.int8),
            "a list of floats": [-5.0, 127.0],
            "texts": ("-5", "127"),
        },
        wrong={
            "wrapped": ((-5, -106), "wraps around"),
            "uint8": ((123, 255), "the end of uint8"),
            "no zero point": ((25, 180), "The zero point is missing"),
            "no zero point, clipped": ((25, 127), "The zero point is missing"),
            "not clipped": ((-5, 150), "Clip."),
            "zero point subtracted": ((55, 127), "The zero point is -30"),
            "cut off": ((-6, 127), "Round to the nearest"),
            "not rounded": ((-5.31, 127), "Codes are whole numbers"),
            "without the scale of the output": ((-29, -21), "Divide by the output's scale"),
            "swapped": ((127, -5), "in the order"),
            "one code": (-5, "holds 1 number; 2 are asked"),
            "both in one text": ("-5, 127", "the text '-5, 127'; 2 numbers are asked: give a"),
            "a function": (affine.quantize, "holds a function"),
        },
    ),
    checks.check_camera_codes: Answers(
        right={
            "in int16": in_int16,
            "by bits": by_bits,
            "by a table": by_a_table,
            "by a loop": by_a_loop,
            "with a variable named half": named_like_a_float,
            "vectorized": np.vectorize(lambda pixel: pixel - 128, otypes=[np.int8]),
        },
        wrong={
            "in floats": (in_floats, "has no floats, and here are some: divide gives float64"),
            "cast to floats": (cast_to_floats, "astype gives float32"),
            "copied to floats": (copied_to_floats, "has no floats, and here are some: `float`"),
            "floats one by one": (floats_one_by_one, "here are some: the division `/`"),
            "by the library": (by_the_library, "which calculates in float32"),
            "only cast": (only_cast, "keeps the bits"),
            "not cast": (not_cast, "their type is int16"),
            "wrapped": (wrapped, "a uint8 cannot go below 0"),
            "flattened": (flattened, "the shape (256,)"),
            "a number": (-128, "asked is a function"),
            "codes": (by_bits(np.arange(4, dtype=np.uint8)), "asked is a function"),
            "raises": (lambda pixels: pixels.astyp(int), "Your function raised AttributeError"),
        },
    ),
    checks.check_integer_activation: Answers(
        right={
            "fused": dense(":RELU6", TO_UINT8),
            "an operator of its own": dense(" LEAKY_RELU", TO_UINT8),
            "several operators": dense(" LOGISTIC MUL", TO_UINT8),
            "a bytearray": bytearray(dense(" TANH", TO_UINT8)),
        },
        wrong={
            "relu": (dense(":RELU", TO_UINT8), "still has a ReLU"),
            "linear": (dense("", TO_UINT8), "is linear"),
            "elu": (dense(ISLAND, TO_UINT8), "A float operator is left: ELU"),
            "int8 ends": (dense(" LEAKY_RELU", dtype="INT8"), "The ends are int8 and int8"),
            "a float end": (dense(" TANH", "DEQUANTIZE>FLOAT32"), "A float operator is left"),
            "another network": (network("CONV_2D:RELU6"), "It is not the digits' network"),
            "no file": (b"TFL3", "no readable .tflite file"),
            "a name": ("leaky_relu", "give the content of a file"),
            "a path that is none": ("\0", "give the content of a file"),
            "a function": (dense, "asked is a file's content"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_7_7_reads_a_file_that_is_given_by_its_path(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(dense(":RELU6", TO_UINT8))
    assert checks.check_integer_activation(file)
    assert checks.check_integer_activation(str(file))


def test_the_hint_of_7_5_and_7_6_does_not_give_the_solution_away():
    assert "0.005" not in checks.check_two_codes(0).message
    assert "128" not in checks.check_camera_codes(only_cast).message.partition("Hint: ")[2]


def test_no_sum_of_7_1_is_a_tie_and_a_float_takes_the_last_one_for_one():
    for accumulator, m, shift, _ in lesson07._SUMS:
        assert (accumulator * m) % (1 << shift) != 1 << (shift - 1)
    accumulator, m, shift, zero_point = lesson07._SUMS[-1]
    assert accumulator * m / 2**shift == 41.5
    assert lesson07.requantize(accumulator, m, shift, zero_point) == 41


def test_the_file_of_7_4_has_a_float_island_and_another_input_than_its_owner_says():
    content = unseen.path("07_meter.tflite").read_bytes()
    audit = tables.audit(content)
    assert (audit.input_dtype, audit.output_dtype) == ("int8", "int8")
    assert [text.split(" ")[0] for text in audit.float_operators] == ["POW"]
    assert (np.float32(METER.input_scale), METER.input_zero_point) == (np.float32(HALF), -64)
    assert len(reader.read(content).subgraphs) == 1


def test_cutting_off_changes_some_digits_of_7_4_and_any_rounding_reads_them_alike():
    images, right = lesson07._on_the_edge(METER)
    assert len(images) >= 8
    for codes in (lesson07.quantized, inline, rounded_after):
        assert np.array_equal(reading(HALF, -64, codes=codes)(images), right)
    assert not np.any(reading(HALF, -64, codes=cast_alone)(images) == right)


def test_the_tables_of_7_3_have_the_columns_of_a_real_one():
    real = tables.operators(unseen.path("07_meter.tflite"))
    for rows in lesson07._FILES.values():
        table = lesson07._table(rows)
        assert [*table.columns] == [*real.columns]
        assert table["float"].dtype == real["float"].dtype == bool


def test_the_solution_of_7_4_runs_in_the_lesson_for_who_took_the_courses_functions():
    solutions = pathlib.Path(files.ROOT, "notebooks", "solutions", "07_quantize_integers.ipynb")
    (cell,) = [c for c in nbformat.read(solutions, 4).cells if "check_meter" in c.source]
    names = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
    assert {"float_operators", "quantized"} <= names
    assert not [name for name in names if name.startswith("my_")]


def test_an_open_part_of_7_4_is_not_attempted():
    assert checks.check_meter(found(island=...)).state == "not attempted"
