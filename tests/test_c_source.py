"""A model as C: equal to TFLite-Micro to the last bit, on this computer and in an emulator."""

import re
from dataclasses import replace

import numpy as np
import pytest

import any_models
import engine_cases
import integer_models
from lessons_lib import board, c_source, micro, runtime, tables
from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.run.engine import integer_graph
from raw_runtimes import raw_answer
from reference import converted, digits
from runtimes import needs_micro

# What a stranger's file must not do: a shift, a sum or a place out of bounds ends the process.
SANITIZED = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def by_name(program, x):
    """One array as the program's inputs by name."""
    return {program.ends[0].of: x} if isinstance(x, np.ndarray) else x


def only(outputs):
    (result,) = outputs.values()
    return result


def answers(content, x, folder, *flags):
    program = c_source.c_source(content)
    return only(board.on_host(program, folder, *flags).run(by_name(program, x)))


@needs_micro
@pytest.mark.parametrize("model", ["mnist_cnn", "ds_cnn"])
@pytest.mark.parametrize("path", ["int8", "uint8"])
def test_a_thousand_digits_are_those_of_tflite_micro(model, path, tmp_path):
    content = converted(model)[path]
    x = runtime.Model(content).quantize_input(digits().test.images)
    assert np.array_equal(answers(content, x, tmp_path), micro.run(content, x))


@pytest.mark.parametrize("name", board.BOARDS)
def test_digits_are_the_same_on_a_small_processor(name, tmp_path):
    content = converted("ds_cnn")["int8"]
    x = runtime.Model(content).quantize_input(digits().test.images[:100])
    program = c_source.c_source(content, "ds_cnn")
    run = board.emulate(
        board.compile_for(program, board.BOARDS[name], tmp_path), by_name(program, x)
    )
    expected = only(board.on_host(program, tmp_path).run(by_name(program, x)))
    assert np.array_equal(only(run.outputs), expected)
    assert 0 < run.stack < 1000


def test_what_is_linked_is_what_was_planned(tmp_path):
    content = converted("mnist_cnn")["int8"]
    program = c_source.c_source(content)
    image = board.compile_for(program, board.CORTEX_M4, tmp_path)
    patch = 144  # what a filter of 3 x 3 over 16 channels sees
    assert image.ram == program.plan.size + patch
    weights = tables.byte_budget(content)["weights"]
    assert weights < image.flash < len(content)
    x = runtime.Model(content).quantize_input(digits().test.images[:1])
    run = board.emulate(image, by_name(program, x))
    products = tables.multiply_accumulates(content)["macs"].sum()
    assert run.instructions / products < 4


def test_the_arena_is_shared_over_time():
    content = converted("ds_cnn")["int8"]
    plan = c_source.plan(content)
    assert plan.at_once < plan.size < sum(place.size for place in plan.places)
    for place in plan.places:
        for other in plan.places:
            if place is not other and place.meets(other):
                apart = (
                    place.offset + place.size <= other.offset
                    or other.offset + other.size <= place.offset
                )
                assert apart, (place, other)


# Models of one operator, as hypothesis draws them for the engine.
DRAWN = [
    "CONV_2D", "CONV_2D without bias", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D",
    "AVERAGE_POOL_2D", "ADD", "ADD two sides", "SUB", "MUL", "MAXIMUM", "MEAN", "PAD",
    "RESHAPE", "CONCATENATION", "SOFTMAX", "QUANTIZE", "LOGISTIC", "TANH", "HARD_SWISH",
    "LEAKY_RELU", "RELU", "BROADCAST_TO",
]  # fmt: skip
AT_MOST = 8


def of_one_sample(operator):
    """The drawn models that take one sample a call, and can be written in C."""
    found = []
    for case in drawn(operator):
        if "tflm" not in case.runtimes:
            continue
        try:
            found.append((case, c_source.c_source(case.content)))
        except ModelFileError as error:
            assert re.search("samples at once|has no function|int16|uint8|2\\*\\*30", str(error))
    return found[:AT_MOST]


def drawn(operator):
    cases = []
    strategy = integer_models.OPERATORS[operator]
    engine_cases.drawn_with(strategy, cases.append)
    return cases


@needs_micro
@pytest.mark.parametrize("operator", DRAWN)
def test_a_model_of_one_operator(operator, tmp_path):
    found = of_one_sample(operator)
    assert found, "none was drawn that takes one sample"
    for number, (case, program) in enumerate(found):
        x = by_name(program, case.x)
        folder = tmp_path / f"{number}"
        got = only(board.on_host(program, folder, *SANITIZED).run(x))
        expected = np.asarray(raw_answer(case.content, case.x, "tflm"))
        assert np.array_equal(got.reshape(expected.shape), expected), case.what


# ---- several ends, a stranger's names


@needs_micro
def test_several_inputs_and_outputs_have_their_names(tmp_path):
    content = any_models.converted("two_ends", "int8")
    signature = micro.opened(content)[0]
    x = {
        name: np.random.default_rng(0).integers(-128, 128, (20, *spec.shape[1:]), np.int8)
        for name, spec in signature.inputs.items()
    }
    program = c_source.c_source(content)
    assert {end.of for end in program.ends} == {*signature.inputs, *signature.outputs}
    got, expected = board.on_host(program, tmp_path).run(x), micro.run(content, x)
    for name, result in expected.items():
        assert np.array_equal(got[name], result), name


def test_nothing_of_a_strangers_names_gets_into_the_code(monkeypatch, tmp_path):
    """A tensor may be called as it likes; a comment must not end where its name wants."""
    content = converted("ds_cnn")["int8"]
    load = integer_graph.load

    def renamed(*given, **settings):
        graph = load(*given, **settings)
        for op in graph.operators:
            for tensor in op.outputs:
                object.__setattr__(tensor, "name", '*/ int main(void) { evil("\n\\\n??/'[:40])
        return graph

    monkeypatch.setattr(integer_graph, "load", renamed)
    program = c_source.c_source(content)
    assert "evil(" not in program.source
    assert program.source.count("/*") == program.source.count("*/")
    board.on_host(program, tmp_path)


# ---- what is refused


@pytest.mark.parametrize("name", ["", "1st", "my model", "int", "a" * 40, "ä", "a-b", "x;"])
def test_a_name_that_c_does_not_take(name):
    with pytest.raises(InputError, match="cannot begin C's names"):
        c_source.c_source(converted("ds_cnn")["int8"], name)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("float32", "not full integer"),
        ("dynamic_range", "hybrid"),
        ("float16", "float16"),
        ("int8_float_fallback", "float32; in C it is int8 or uint8"),
        ("int16x8", "int16"),
    ],
)
def test_files_that_no_c_comes_of(path, words):
    with pytest.raises(ModelFileError, match=words):
        c_source.c_source(converted("mnist_cnn")[path])


def test_an_operator_without_c_is_named():
    case = drawn("TRANSPOSE_CONV")[0]
    with pytest.raises(ModelFileError, match=r"TRANSPOSE_CONV has no function|samples at once"):
        c_source.c_source(case.content)


def test_a_board_that_is_too_small(tmp_path):
    program = c_source.c_source(converted("ds_cnn")["int8"], "ds_cnn")
    for what, small in (
        ("flash", replace(board.CORTEX_M4, name="chip", flash=4096)),
        ("RAM", replace(board.CORTEX_M4, name="chip", ram=4096)),
    ):
        with pytest.raises(InputError, match=rf"bytes of {what}, and the chip has 4,096"):
            board.compile_for(program, small, tmp_path)


def test_a_compiler_that_refuses_says_why(tmp_path):
    program = c_source.c_source(converted("ds_cnn")["int8"])
    with pytest.raises(LessonError, match=r"the compiler refuses .*no-such-flag"):
        board.on_host(program, tmp_path, "--no-such-flag")


def test_without_the_extra_it_is_said(tmp_path, monkeypatch):
    program = c_source.c_source(converted("ds_cnn")["int8"])
    image = board.compile_for(program, board.CORTEX_M4, tmp_path)
    monkeypatch.setattr(board.importlib.util, "find_spec", lambda name: None)
    assert not board.installed()
    with pytest.raises(LessonError, match="ziglang is not installed"):
        board.on_host(program, tmp_path)
    with pytest.raises(LessonError, match="unicorn is not installed"):
        board.emulate(image, {"image": np.zeros((1, 28, 28, 1), np.int8)})


def test_it_is_made_anew_to_the_same_bytes():
    content = converted("mnist_cnn")["int8"]
    first, second = (c_source.c_source(content) for _ in range(2))
    assert (first.header, first.source) == (second.header, second.source)
