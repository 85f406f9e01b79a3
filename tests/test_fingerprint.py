"""Eight runtimes, and a browser, each known by what it gave."""

import functools
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import any_models
import tiny_models
from lessons_lib import (
    board,
    browser,
    c_source,
    compiled,
    fingerprint,
    integer_engine,
    micro,
    runtime,
    samples,
    sandbox,
    signature,
)
from lessons_lib.errors import InputError, ModelFileError
from raw_runtimes import raw_answer
from reference import converted, digits
from runtimes import needs_micro, on_x86

needs_boards = pytest.mark.skipif(
    not board.installed(), reason="no compiler, or no emulator, of the extra micro"
)


@functools.cache
def model() -> bytes:
    return converted()["int8"]


@functools.cache
def codes() -> np.ndarray:
    """Five hundred clean digits and as many hard ones."""
    images = np.concatenate([digits().test.images[:500], digits().hard.images[:500]])
    return runtime.Model(model()).quantize_input(images)


@functools.cache
def by_engine(kernels: str) -> np.ndarray:
    return integer_engine.run(model(), codes(), kernels)


@functools.cache
def telling() -> np.ndarray:
    """A few inputs that tell all four apart: from the digits, and for the last two found anew."""
    found = fingerprint.of(model(), codes(), by_engine("tflm"), tries=5000)
    assert found.runtimes == ("tflm", "builtin")
    pairs = list(combinations(integer_engine.KERNELS, 2))
    apart = [(by_engine(a) != by_engine(b)).any(axis=1) for a, b in pairs]
    rows = sorted({int(np.flatnonzero(a)[0]) for a in apart if a.any()})
    return np.concatenate([codes()[rows], *found.telling.values()])


def by_compiled(content, x, kernels="xnnpack"):
    sandbox.trust(content, f"CompiledModel {kernels}")
    return compiled.Model(content, kernels=kernels).run(x)


def in_c(content, x, where):
    program = c_source.c_source(content)
    given = {program.ends[0].of: x}
    with tempfile.TemporaryDirectory() as folder:
        if where == "host":
            outputs = board.on_host(program, Path(folder)).run(given)
        else:
            image = board.compile_for(program, board.BOARDS[where], Path(folder))
            outputs = board.emulate(image, given).outputs
    return samples.bare(outputs)


GIVEN_BY = {
    "reference": (lambda: raw_answer(model(), telling(), "reference"), "reference"),
    "builtin": (lambda: raw_answer(model(), telling(), "builtin"), "builtin"),
    "xnnpack": (lambda: raw_answer(model(), telling(), "xnnpack"), "xnnpack"),
    "TFLite-Micro": (lambda: micro.run(model(), telling()), "tflm"),
    "CompiledModel": (lambda: by_compiled(model(), telling()), "xnnpack"),
    "CompiledModel REFERENCE": (lambda: by_compiled(model(), telling(), "reference"), "builtin"),
    "C on the host": (lambda: in_c(model(), telling(), "host"), "tflm"),
    "C on a Cortex-M4": (lambda: in_c(model(), telling(), "cortex-m4"), "tflm"),
    "C on RISC-V": (lambda: in_c(model(), telling(), "riscv32"), "tflm"),
}
NEEDS = {
    "builtin": on_x86,
    "xnnpack": on_x86,
    "CompiledModel": on_x86,
    "CompiledModel REFERENCE": on_x86,
    "TFLite-Micro": needs_micro,
    "C on the host": needs_boards,
    "C on a Cortex-M4": needs_boards,
    "C on RISC-V": needs_boards,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NEEDS.get(name, ())) for name in GIVEN_BY]
)
def test_each_of_eight_runtimes_is_named(name):
    give, expected = GIVEN_BY[name]
    found = fingerprint.of(model(), telling(), give())
    assert found.runtimes == (found.runtime,) == (expected,)
    assert found.wrong[expected] == 0
    assert all(count for kernels, count in found.wrong.items() if kernels != expected)


@pytest.mark.parametrize("path", ["uint8", "int8_float_fallback"])
def test_the_browser_that_was_recorded_runs_xnnpack(path):
    content, outputs = converted()[path], browser.read_outputs().models[path].outputs
    x = runtime.Model(content).quantize_input(digits().test.images[: len(outputs)])
    assert fingerprint.of(content, x, outputs).runtime == "xnnpack"


def test_the_evidence_is_what_the_engine_computes():
    found = fingerprint.of(model(), codes(), by_engine("xnnpack"))
    assert found.size == 10_000
    for kernels, count in found.wrong.items():
        assert count == np.count_nonzero(by_engine(kernels) != by_engine("xnnpack"))
    assert [parting.runtimes[1] for parting in found.partings] == ["reference", "tflm", "builtin"]
    for parting in found.partings:
        one, other = (
            integer_engine.trace(model(), codes()[[parting.sample]], kernels)
            for kernels in parting.runtimes
        )
        differ = [index for index in one if np.any(one[index] != other[index])]
        assert len(parting.differing) == len(differ)
        assert parting.tensor == parting.differing[0] == "CONV_2D (conv1)"
        place = (0, *parting.place)
        assert parting.codes == (one[differ[0]][place], other[differ[0]][place])
        assert abs(parting.codes[0] - parting.codes[1]) == 1


def test_a_difference_that_dies_on_its_way_is_seen():
    found = fingerprint.of(model(), codes()[:100], by_engine("tflm")[:100], tries=0)
    (parting,) = (p for p in found.partings if p.runtimes == ("reference", "builtin"))
    assert found.wrong["builtin"] == 0
    assert parting.differing == ("FULLY_CONNECTED (probabilities)",)


def test_inputs_are_found_that_tell_two_runtimes_apart():
    found = fingerprint.of(model(), codes(), by_engine("builtin"), tries=5000)
    assert (found.runtimes, found.runtime) == (("tflm", "builtin"), None)
    (x,) = found.telling.values()
    assert (x.dtype, x.shape[1:]) == (np.int8, (28, 28, 1))
    one, other = (integer_engine.run(model(), x, kernels) for kernels in found.runtimes)
    assert (one != other).any()
    both = np.concatenate([codes(), x])
    asked_again = fingerprint.of(model(), both, integer_engine.run(model(), both, "builtin"))
    assert asked_again.runtime == "builtin"
    assert "tflm and builtin: these inputs do not tell them apart" in repr(found)
    assert "1 in .telling would: run yours and these" in repr(found)


def pool():
    """Only the larger of two codes is taken: no runtime rounds."""
    ends = [tiny_models.tensor(name, "INT8", (1, 2, 2, 1), 0.5, 0) for name in "xy"]
    options = schema.Pool2DOptionsT(filterWidth=1, filterHeight=1, strideW=1, strideH=1)
    return tiny_models.assemble(ends, [("MAX_POOL_2D", options, [0], [1])], [0], [1])


def test_where_no_input_is_found_that_is_said():
    x = np.arange(12, dtype=np.int8).reshape(3, 2, 2, 1)
    found = fingerprint.of(pool(), x, x, tries=150)
    assert found.runtimes == integer_engine.KERNELS
    assert (found.telling, found.tried, found.partings) == (None, 150, ())
    assert "all 12 outputs are equal. Nor do 150 random inputs." in repr(found)


def test_one_code_that_nobody_gives_is_none_of_them():
    changed = by_engine("xnnpack").copy()
    changed[7, 3] += 1
    found = fingerprint.of(model(), codes(), changed)
    assert (found.runtimes, found.runtime, found.far) == ((), None, False)
    first = found.first
    assert (first.runtimes, first.sample, first.place) == (("given", "xnnpack"), 7, (3,))
    assert (first.codes, found.gap) == ((changed[7, 3], changed[7, 3] - 1), 1)
    assert repr(found).startswith("None of them. The nearest is xnnpack; the first difference: ")
    assert "another rounding rule" in repr(found)


def test_samples_in_another_order_are_no_rounding():
    clean = slice(0, 100)
    found = fingerprint.of(model(), codes()[clean], by_engine("xnnpack")[clean][::-1])
    assert found.far
    assert "hardly rounding: compare the files, the inputs and their order" in repr(found)


def test_inputs_and_outputs_go_by_name():
    content = any_models.converted("two_ends", "int8")
    x = samples.drawn(signature.of_file(content), 200)
    rng = np.random.default_rng(0)
    x = {n: rng.integers(-128, 128, array.shape).astype(np.int8) for n, array in x.items()}
    outputs = integer_engine.run(content, x, "tflm")
    assert "tflm" in fingerprint.of(content, x, outputs, tries=0).runtimes
    with pytest.raises(InputError, match="outputs called price; the model gives kind, price"):
        fingerprint.of(content, x, {"price": outputs["price"]})
    with pytest.raises(InputError, match="outputs called kind; the model gives kind, price"):
        fingerprint.of(content, x, outputs["kind"])


def ties():
    """A QUANTIZE of nine floats, all at ties, with an open batch."""
    halves = np.float32([[0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, -3.5, 4.5]] * 4)
    ends = [
        tiny_models.tensor("x", "FLOAT32", (1, 9)),
        tiny_models.tensor("q", "INT8", (1, 9), 1.0, 0),
    ]
    for item, _ in ends:
        item.shapeSignature = [-1, 9]
    operators = [("QUANTIZE", schema.QuantizeOptionsT(), [0], [1])]
    return tiny_models.assemble(ends, operators, [0], [1]), halves


@on_x86
def test_the_size_of_a_call_matters_where_floats_are_quantized():
    content, x = ties()
    one_by_one = np.concatenate([raw_answer(content, row[None], "builtin") for row in x])
    together = raw_answer(content, x, "builtin")
    assert (one_by_one != together).any()
    assert "builtin" in fingerprint.of(content, x, one_by_one, batch_size=1, tries=0).runtimes
    assert "builtin" not in fingerprint.of(content, x, one_by_one, tries=0).runtimes
    assert "builtin" in fingerprint.of(content, x, together, tries=0).runtimes


@pytest.mark.parametrize(
    ("x", "outputs", "message"),
    [
        (
            slice(0, 3),
            np.zeros((2, 10), np.int8),
            r"shape \(2, 10\); for these 3 inputs.*\(3, 10\)",
        ),
        (slice(0, 3), np.zeros((3, 9), np.int8), r"shape \(3, 9\)"),
        (slice(0, 3), np.zeros((3, 10), np.uint8), "are uint8; the model gives int8"),
        (slice(0, 3), np.zeros((3, 10)), "are float64; the model gives int8.*before they are deq"),
        (slice(0, 0), np.zeros((0, 10), np.int8), "at least one"),
    ],
)
def test_what_does_not_fit_is_refused(x, outputs, message):
    with pytest.raises(InputError, match=message):
        fingerprint.of(model(), codes()[x], outputs)


def test_inputs_and_numbers_are_checked():
    answer = by_engine("tflm")[:2]
    with pytest.raises(InputError, match="expected int8 input, got float32"):
        fingerprint.of(model(), np.zeros((2, 28, 28, 1), np.float32), answer)
    with pytest.raises(InputError, match="tries=-1"):
        fingerprint.of(model(), codes()[:2], answer, tries=-1)
    with pytest.raises(InputError, match="batch_size=0"):
        fingerprint.of(model(), codes()[:2], answer, batch_size=0)
    floats = converted()["int8_float_fallback"]
    with pytest.raises(InputError, match="output_0 holds NaN"):
        x = digits().test.images[:2]
        fingerprint.of(floats, x, np.full((2, 10), np.nan, np.float32))


@pytest.mark.parametrize("path", ["float32", "dynamic_range", "float16"])
def test_what_computes_with_floats_has_no_fingerprint(path):
    x = digits().test.images[:2]
    with pytest.raises(ModelFileError, match="the model is not full integer"):
        fingerprint.of(converted()[path], x, np.zeros((2, 10), np.float32))


def test_an_operator_that_the_engine_lacks_is_named():
    ends = [tiny_models.tensor(name, "INT8", (1, 4), 0.5, 0) for name in "xy"]
    content = tiny_models.assemble(ends, [("ABS", None, [0], [1])], [0], [1])
    with pytest.raises(ModelFileError, match="does not know ABS"):
        fingerprint.of(content, np.zeros((1, 4), np.int8), np.zeros((1, 4), np.int8))
