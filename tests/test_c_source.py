"""A model as C: equal to TFLite-Micro to the last bit, on this computer and in an emulator."""

import functools
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import any_models
import engine_cases
import integer_models
from lessons_lib import (
    board,
    c_operators,
    c_source,
    firmware,
    integer_engine,
    micro,
    reader,
    runtime,
    signature,
    tables,
)
from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.run.engine import integer_graph
from raw_runtimes import raw_answer
from reference import converted, digits
from runtimes import needs_micro
from tiny_models import assemble, tensor

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
    "LEAKY_RELU", "RELU", "BROADCAST_TO", "TRANSPOSE", "SPLIT", "SPLIT_V", "SLICE",
    "STRIDED_SLICE", "UNPACK", "PRELU", "TRANSPOSE_CONV", "TRANSPOSE_CONV without bias",
    "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR", "ARG_MAX", "ARG_MIN", "REDUCE_MAX",
    "REDUCE_MIN", "GATHER", "BATCH_MATMUL", "UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF",
]  # fmt: skip
EVERY = 6  # of 30 that are drawn: the first ones are much alike


@functools.cache
def of_one_sample(operator):
    """Models of one operator that take one sample a call and are written in C."""
    cases = drawn(operator)
    with_one = [case for case in cases if not_moved_into_the_batch(case)]
    assert len(with_one) > 2, operator
    return with_one


def drawn(operator):
    cases = []
    fits = integer_models.OPERATORS[operator].filter(
        lambda case: len(case.x) == 1 and "tflm" in case.runtimes
    )
    engine_cases.drawn_with(fits, cases.append, 30)
    return cases[::EVERY]


def not_moved_into_the_batch(case):
    """TRANSPOSE and others may make the first dimension another one."""
    return all(spec.shape[0] == 1 for spec in signature.of_file(case.content).outputs.values())


@needs_micro
@pytest.mark.parametrize("operator", DRAWN)
def test_a_model_of_one_operator(operator, tmp_path):
    for number, case in enumerate(of_one_sample(operator)):
        program = c_source.c_source(case.content)
        host = board.on_host(program, tmp_path / f"{number}", *SANITIZED)
        got = host.run(by_name(program, case.x))
        expected = raw_answer(case.content, case.x, "tflm")
        if not isinstance(expected, dict):
            expected = dict.fromkeys(got, expected)
        for name, array in expected.items():
            assert got[name].dtype == array.dtype
            assert np.array_equal(got[name].reshape(array.shape), array), (case.what, name)


def test_every_operator_of_the_engine_has_its_function_or_a_reason():
    named = set(c_operators.CALLS) | set(c_operators.WHY_NOT)
    assert named == set(integer_engine.OPERATORS)
    tested = {name.split()[0] for name in DRAWN}
    moved = {
        "BATCH_TO_SPACE_ND", "EXPAND_DIMS", "MINIMUM", "PACK", "PADV2", "RELU6", "SQUEEZE",
        "SPACE_TO_BATCH_ND", "TILE",
    }  # fmt: skip
    assert set(c_operators.CALLS) - tested == moved, "they share their function with one above"


# ---- under the address sanitizer

GUARDED = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-g",
           "-fsanitize=address,undefined", "-fno-sanitize-recover=all")  # fmt: skip
HARNESS = """
  {{
{ends}
{read}
    if ({name}_invoke({given})) return 1;
{write}
  }}"""


@functools.cache
def compiler_with_address_sanitizer():
    """The computer's own C compiler, where it has that part: ziglang's clang comes without."""
    program = b"int main(void) { return 0; }"
    for name in ("gcc", "clang", "cc"):
        with tempfile.TemporaryDirectory() as folder:
            command = [name, *GUARDED, "-x", "c", "-", "-o", f"{folder}/a"]
            if shutil.which(name) and not subprocess.run(
                command, input=program, capture_output=True
            ).returncode:  # fmt: skip
                return name
    return None


needs_guard = pytest.mark.skipif(
    "compiler_with_address_sanitizer() is None",
    reason="no gcc or clang with an address sanitizer here, and ziglang brings none",
)


def each_tensor_apart(content, name, monkeypatch):
    """The program with an array of its own for each tensor, behind whose end nothing is.

    In the arena a function that reads or writes too far would meet another tensor, unseen.
    """

    def at(tensor, places):
        return f"{'tensor' if tensor.value is None else 'constant'}_{tensor.index}"

    monkeypatch.setattr(c_source, "_at", at)
    program = c_source.c_source(content, name)
    arrays = "\n".join(
        f"static int8_t tensor_{place.tensor.index}[{place.used}];" for place in program.plan.places
    )
    source, count = re.subn(r"static [A-Z_ ]*int8_t arena\[\d+\];", arrays, program.source)
    assert count == 1
    return replace(program, source=source)


def guarded(programs, x, folder):
    """All programs in one process, inputs from a pipe, outputs to one: (exit status, bytes)."""
    body = ""
    for program in programs:
        (folder / f"{program.name}.h").write_text(program.header)
        (folder / f"{program.name}.c").write_text(program.source)
        ends = [(end, end.is_input) for end in program.ends]
        body += HARNESS.format(
            name=program.name,
            ends="\n".join(f"    {end.element} {end.name}[{end.size}];" for end, _ in ends),
            given=", ".join(end.name for end, _ in ends),
            read="\n".join(
                f"    if (fread({end.name}, {end.bytes}, 1, stdin) != 1) return 2;"
                for end, is_input in ends
                if is_input
            ),
            write="\n".join(
                f"    fwrite({end.name}, {end.bytes}, 1, stdout);"
                for end, is_input in ends
                if not is_input
            ),
        )
    headers = "".join(f'#include "{program.name}.h"\n' for program in programs)
    (folder / "main.c").write_text(
        f"#include <stdio.h>\n{headers}int main(void) {{{body}\n  return 0;\n}}\n"
    )
    sources = ["main.c", *(f"{program.name}.c" for program in programs)]
    command = [compiler_with_address_sanitizer(), *GUARDED, *sources, "-o", "guarded"]
    subprocess.run(command, cwd=folder, check=True)
    given = b"".join(array.tobytes() for array in x)
    done = subprocess.run([folder / "guarded"], input=given, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


@needs_guard
@needs_micro
@pytest.mark.parametrize("part", range(4))
def test_no_operator_reads_or_writes_beside_its_tensors(part, tmp_path, monkeypatch):
    cases = [case for operator in DRAWN[part::4] for case in of_one_sample(operator)[1::2]]
    programs = [
        each_tensor_apart(case.content, f"m{number}", monkeypatch)
        for number, case in enumerate(cases)
    ]
    status, got, said = guarded(programs, [case.x for case in cases], tmp_path)
    assert status == 0, said
    expected = b""
    for case in cases:
        answer = raw_answer(case.content, case.x, "tflm")
        named = answer if isinstance(answer, dict) else {"y": answer}
        expected += b"".join(named[name].tobytes() for name in sorted(named))
    assert got == expected


@needs_guard
@pytest.mark.parametrize("name", ["mnist_cnn", "ds_cnn"])
def test_a_whole_network_keeps_to_its_arena(name, tmp_path, monkeypatch):
    content = converted(name)["uint8"]
    x = runtime.Model(content).quantize_input(digits().test.images[:1])
    whole = c_source.c_source(content, "whole")
    programs = [whole, each_tensor_apart(content, "apart", monkeypatch)]
    status, got, said = guarded(programs, [x, x], tmp_path)
    assert status == 0, said
    assert got == 2 * only(board.on_host(whole, tmp_path).run(by_name(whole, x))).tobytes()


@needs_guard
@pytest.mark.parametrize("change", ["reads", "writes", "tensors"])
def test_a_byte_too_far_is_seen(change, tmp_path, monkeypatch):
    content = max(of_one_sample("FULLY_CONNECTED"), key=lambda case: case.x.size).content
    if change == "tensors":  # a place of which the plan knows less than there is
        program = each_tensor_apart(content, "m", monkeypatch)
        place = program.plan.places[0]
        declared, short = (
            f"tensor_{place.tensor.index}[{used}];" for used in (place.used, place.used - 1)
        )
        source = program.source.replace(declared, short)
    else:
        program = c_source.c_source(content, "m")
        x, y = (end.name for end in program.ends)
        right = rf"copy\({x}, .*, (\d+)\);" if change == "reads" else rf"copy\(.*, {y}, (\d+)\);"
        line = re.search(rf"^  {right}$", program.source, re.MULTILINE)
        longer = line[0].replace(f"{line[1]});", f"{int(line[1]) + 1});")
        source = program.source.replace(line[0], longer)
    assert source != program.source
    end = program.ends[0]
    status, _, said = guarded(
        [replace(program, source=source)], [np.zeros(end.size, np.int8)], tmp_path
    )
    assert status != 0
    assert "AddressSanitizer" in said, said


# ---- a stream


def without_reset(content, x):
    """What TFLite-Micro gives for one moment after the other."""
    from tflite_micro import runtime as tflm

    interpreter, outputs = tflm.Interpreter.from_bytes(content, arena_size=2**20), []
    for moment in x:
        interpreter.set_input(moment[None], 0)
        interpreter.invoke()
        outputs.append(np.array(interpreter.get_output(0))[0])
    return np.array(outputs)


@needs_micro
def test_a_stream_goes_on_until_it_is_reset(tmp_path):
    remembered = 0
    for number, case in enumerate(of_one_sample("SVDF")):
        x = integer_models.int8(np.random.default_rng(number), (15, case.x.shape[1]))
        program = c_source.c_source(case.content)
        host = board.on_host(program, tmp_path / f"{number}", *SANITIZED)
        stream, again = without_reset(case.content, x), raw_answer(case.content, x, "tflm")
        for _ in range(2):
            host.reset()
            assert np.array_equal(only(host.run(by_name(program, x), anew=False)), stream)
        assert np.array_equal(only(host.run(by_name(program, x))), again)
        remembered += not np.array_equal(again, stream)
    assert remembered > 1
    assert "void model_reset(void);" in program.header
    image = board.compile_for(program, board.CORTEX_M4, tmp_path)
    assert np.array_equal(only(board.emulate(image, by_name(program, x)).outputs), again)


def test_a_model_that_keeps_nothing_needs_no_reset():
    program = c_source.c_source(of_one_sample("UNIDIRECTIONAL_SEQUENCE_LSTM")[0].content)
    assert not program.reset
    assert "_reset" not in program.header


@pytest.mark.parametrize("operator", ["ARG_MAX", "GATHER", "SVDF"])
def test_what_an_engineer_gets_tests_tokens_classes_and_streams(operator, tmp_path):
    firmware.export(of_one_sample(operator)[-1].content, tmp_path)
    assert "10 of 10 test vectors are equal" in made(tmp_path)


def made(folder):
    """What `make` says in a folder that was exported."""
    cc = f"{shlex.quote(sys.executable)} -m ziglang cc"
    flags = "CFLAGS=-O1 -std=c99 -Wall -Wextra -Werror"
    done = subprocess.run(["make", "-C", folder, f"CC={cc}", flags], capture_output=True, text=True)
    return done.stdout + done.stderr


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
            for output in op.outputs:
                object.__setattr__(output, "name", '*/ int main(void) { evil("\n\\\n??/'[:40])
        return graph

    monkeypatch.setattr(integer_graph, "load", renamed)
    program = c_source.c_source(content)
    assert "evil(" not in program.source
    assert program.source.count("/*") == program.source.count("*/")
    board.on_host(program, tmp_path)


def named_as_the_code():
    """A sum and its RELU, called like a macro, a type, a function and a variable of main.c."""
    names = ("NULL", "int8_t", "add", "i")
    ends = [tensor(name, "INT8", (1, 4), 0.5 * (2 if name == "add" else 1), 0) for name in names]
    operators = [("ADD", schema.AddOptionsT(), [0, 1], [2]), ("RELU", None, [2], [3])]
    return assemble(ends, operators, [0, 1], [2, 3])


def test_an_end_called_like_something_in_the_code_gets_another_name(tmp_path):
    content = named_as_the_code()
    program = c_source.c_source(content)
    assert {end.of: end.name for end in program.ends} == {
        "NULL": "end_0", "int8_t": "end_1", "add": "end_2", "i": "i",
    }  # fmt: skip
    firmware.export(content, tmp_path)
    assert "10 of 10 test vectors are equal" in made(tmp_path)


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
        ("int8_float_fallback", "image is float32; in C it is int8, uint8 or int32"),
        ("int16x8", "int16"),
    ],
)
def test_files_that_no_c_comes_of(path, words):
    with pytest.raises(ModelFileError, match=words):
        c_source.c_source(converted("mnist_cnn")[path])


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("SVDF with a state of int8", "SVDF with a state of int8, and C has it with one of int16"),
        ("CONV_2D int16", "x is int16; in C it is int8, uint8 or int32: convert with the path"),
        ("DEQUANTIZE", "y is float32; in C"),
        ("SOFTMAX of int8 to int16", "SOFTMAX takes or gives int16.*take the path int8"),
    ],
)
def test_an_operator_without_c_is_named(operator, words):
    with pytest.raises(ModelFileError, match=words):
        c_source.c_source(drawn(operator)[0].content)


def test_an_operator_that_nobody_has_is_named():
    ends = [tensor(name, "INT8", (1, 4), 0.5, 0) for name in "xy"]
    content = assemble(ends, [("FLOOR", None, [0], [1])], [0], [1])
    with pytest.raises(ModelFileError, match="FLOOR has no function in C; there are ADD, ARG_MAX"):
        c_source.c_source(content)


def test_an_operator_that_lost_an_input_is_damage():
    model = reader.read(converted("ds_cnn")["int8"])
    dense = model.subgraphs[0].operators[-2]
    dense.inputs = dense.inputs[:1]
    with pytest.raises(ModelFileError, match="the graph"):
        c_source.c_source(reader.pack(model))


def test_sums_that_leave_thirty_bits_are_refused():
    with pytest.raises(ModelFileError, match="sums of FULLY_CONNECTED may not fit in 32 bits"):
        c_source.c_source(dense(3, scale=2.0**-24))


def test_a_softmax_of_too_many_codes_is_refused():
    ends = [tensor("x", "INT8", (1, 4097), 0.5, 0), tensor("y", "INT8", (1, 4097), 2**-8, -128)]
    content = assemble(ends, [("SOFTMAX", schema.SoftmaxOptionsT(beta=1.0), [0], [1])], [0], [1])
    with pytest.raises(ModelFileError, match=r"SOFTMAX of 4097 codes .* at most 4096"):
        c_source.c_source(content)


def test_a_refused_model_leaves_no_files(tmp_path):
    with pytest.raises(ModelFileError, match="has the shape"):
        firmware.export(reshaped((-1, 2, 2), batch=3), tmp_path / "c")
    assert not (tmp_path / "c").exists()


@needs_micro
def test_the_biases_of_2_to_the_30_that_the_converter_makes_fit(tmp_path):
    """A channel with tiny weights: its scale is raised until its bias has 31 bits."""
    scale, bias = np.array([1e-8, 1e-8, 0.0005]), np.array([2**30, -(2**30), 77], np.int32)
    tensors = [
        tensor("x", "INT8", (1, 4), 0.5, -3),
        tensor("w", "INT8", (3, 4), scale, 0, data=np.tile(np.int8([9, -127, 88, 1]), (3, 1))),
        tensor("bias", "INT32", (3,), 0.5 * scale, 0, data=bias),
        tensor("y", "INT8", (1, 3), 0.05, 2),
    ]
    layer = ("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), [0, 1, 2], [3])
    content = assemble(tensors, [layer], [0], [3])
    x = np.random.default_rng(0).integers(-128, 128, (50, 4), np.int8)
    expected = micro.run(content, x)
    assert len(np.unique(expected[:, 2])) > 9
    assert np.array_equal(answers(content, x, tmp_path, *SANITIZED), expected)


# ---- one sample, and its shapes


def reshaped(shape, batch=1):
    """A RESHAPE of four codes in an open batch, and what shape the file says that it gives."""
    tensors = [
        tensor("x", "INT8", (1, 4), 0.5, 0),
        integer_models.integers("shape", shape),
        tensor("y", "INT8", (batch, 2, 2), 0.5, 0),
    ]
    tensors[0][0].shapeSignature = [-1, 4]
    tensors[2][0].shapeSignature = [-1, 2, 2]
    options = schema.ReshapeOptionsT(list(shape))
    return assemble(tensors, [("RESHAPE", options, [0, 1], [2])], [0], [2])


def test_an_open_batch_is_one_sample(tmp_path):
    content, x = reshaped((-1, 2, 2)), np.arange(12, dtype=np.int8).reshape(3, 4)
    assert signature.of_file(content).batch is None
    assert np.array_equal(answers(content, x, tmp_path), x.reshape(3, 2, 2))


def test_several_samples_at_once_are_refused():
    with pytest.raises(ModelFileError, match=r"takes 4 samples at once.*batch_size=1"):
        c_source.c_source(any_models.converted("four_at_once", "int8"))


def test_an_end_that_does_not_begin_with_one_sample_is_refused():
    content = reshaped((-1, 2, 2), batch=3)
    with pytest.raises(ModelFileError, match=r"output y has the shape \(3, 2, 2\).*batch_size=1"):
        c_source.c_source(content)


def dense(outputs, scale=0.5):
    """A dense layer of three units, whose output the file says to have so many."""
    tensors = [
        tensor("x", "INT8", (1, 4), 0.5, 0),
        tensor("w", "INT8", (3, 4), 0.5, 0, data=np.ones((3, 4), np.int8)),
        tensor("hidden", "INT8", (1, outputs), scale, 0),
        tensor("y", "INT8", (1, outputs), scale, 0),
    ]
    layer, relu = schema.FullyConnectedOptionsT(), ("RELU", None, [2], [3])
    return assemble(tensors, [("FULLY_CONNECTED", layer, [0, 1], [2]), relu], [0], [3])


def test_a_file_that_lies_about_its_shapes_gets_no_c():
    """The arena has the room that the file's shapes ask for, and not what is computed."""
    c_source.c_source(dense(3))
    with pytest.raises(ModelFileError, match=r"gives \(1, 3\) for one sample, and the file says"):
        c_source.c_source(dense(2))


# ---- numbers that are no codes


@needs_micro
@pytest.mark.parametrize("name", board.BOARDS)
def test_a_class_is_an_int32_on_a_small_processor(name, tmp_path):
    case = of_one_sample("ARG_MAX")[-1]
    program = c_source.c_source(case.content)
    assert re.search(r"int32_t y\[\d+\]: the number itself", program.header)
    image = board.compile_for(program, board.BOARDS[name], tmp_path)
    run = board.emulate(image, by_name(program, case.x))
    assert only(run.outputs).dtype == np.int32
    assert np.array_equal(only(run.outputs), raw_answer(case.content, case.x, "tflm"))


def test_codes_without_a_scale_are_numbers(tmp_path):
    ends = [tensor("x", "UINT8", (1, 2, 3)), tensor("y", "UINT8", (1, 6))]
    content = assemble(ends, [("RESHAPE", schema.ReshapeOptionsT([1, 6]), [0], [1])], [0], [1])
    program = c_source.c_source(content)
    assert "const uint8_t x[6]: the number itself" in program.header.replace(" *", " ")
    x = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert np.array_equal(answers(content, x, tmp_path), x.reshape(1, 6))


def test_a_layer_on_numbers_without_a_scale_is_refused():
    ends = [tensor("x", "UINT8", (1, 6)), tensor("y", "INT8", (1, 6), 0.5, 0)]
    content = assemble(ends, [("QUANTIZE", schema.QuantizeOptionsT(), [0], [1])], [0], [1])
    with pytest.raises(ModelFileError, match="QUANTIZE"):
        c_source.c_source(content)


def test_a_wrong_token_is_refused(tmp_path):
    case = of_one_sample("GATHER")[-1]
    program = c_source.c_source(case.content)
    assert "0, or 1 and no outputs where a token is none" in program.header
    host = board.on_host(program, tmp_path, *SANITIZED)
    table = integer_graph.load(case.content, "tflm", False).operators[0].input.value
    for wrong in (-1, len(table), 2**31 - 1):
        with pytest.raises(InputError, match="refuses sample 1"):
            host.run(by_name(program, np.concatenate([case.x, case.x * 0 + wrong])))


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
    find_spec = board.importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            board.importlib.util, "find_spec", lambda n: None if n == "elftools" else find_spec(n)
        )
        with pytest.raises(LessonError, match=r"pyelftools is not installed.*\[micro\]"):
            board.compile_for(program, board.CORTEX_M4, tmp_path)
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
