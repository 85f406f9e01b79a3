"""What C costs on a small processor: by layer, in soft floats, with four bits, in its arena."""

import functools
import re
import tempfile
from dataclasses import replace

import numpy as np
import pytest

import any_models
from kept import kept
from lessons_lib import (
    arena,
    board,
    by_litert,
    c_float,
    c_source,
    calibration,
    edit,
    every_path,
    examples,
    integer_engine,
    micro,
    plots,
    reader,
    runtime,
    tables,
)
from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.system.quiet import quiet
from reference import converted, digits
from runtimes import needs_micro
from tiny_models import assemble, tensor

MODELS = ("mnist_cnn", "ds_cnn")


def codes(content, count):
    return runtime.Model(content).quantize_input(digits().test.images[:count])


def ran(program, processor, x, folder):
    image = board.compile_for(program, processor, folder)
    return image, board.emulate(image, {program.ends[0].of: x})


def only(outputs):
    (result,) = outputs.values()
    return result


# ---- where instructions and flash go


@pytest.mark.parametrize("name", board.BOARDS)
def test_instructions_and_flash_by_layer_sum_up_to_the_whole(name, tmp_path):
    content = converted("ds_cnn")["int8"]
    program = c_source.c_source(content, "ds_cnn")
    image, run = ran(program, board.BOARDS[name], codes(content, 1), tmp_path)
    layers = [layer.name for layer in program.layers]
    assert list(run.by_layer) == [board.TAKEN, *layers, board.GIVEN]
    assert list(image.by_layer) == [*layers, board.CODE]
    assert sum(run.by_layer.values()) == run.instructions
    assert sum(image.by_layer.values()) == image.flash
    macs = tables.multiply_accumulates(content).set_index("layer")["macs"]
    for layer, count in macs.items():
        assert count < run.by_layer[layer] < 60 * count, layer
    assert max(image.by_layer, key=image.by_layer.get) in ("block3_pointwise", board.CODE)
    assert image.by_layer["block3_pointwise"] > 96 * 48  # its weights, and more


def test_the_counter_counts_what_the_emulator_steps_through(tmp_path):
    """RISC-V has no instruction that a condition skips, so both ways see the same."""
    content = any_models.converted("two_ends", "int8")
    program = c_source.c_source(content)
    image = board.compile_for(program, board.RISCV, tmp_path)
    x = {
        end.of: np.ones((1, *end.tensor.shape[1:]), np.int8) for end in program.ends if end.is_input
    }
    machine, steps = board._Machine(image), []
    for end in program.ends:
        if end.is_input:
            machine.write(board._buffer(end), x[end.of].tobytes())
    machine.cpu.hook_add(machine.api.UC_HOOK_CODE, lambda *given: steps.append(1))
    machine.call()
    assert board.emulate(image, x).instructions == len(steps) > 0


def test_a_pin_can_be_set_after_each_layer(tmp_path):
    content = converted("ds_cnn")["int8"]
    program = c_source.c_source(content, "ds_cnn")
    pins = replace(program, source="extern int pins;\nint pins;\n" + program.source)
    host = board.on_host(pins, tmp_path, "-O1", "-DAFTER_LAYER(n)=pins += 1 << n")
    host.run({program.ends[0].of: codes(content, 1)})
    seen = board.ctypes.c_int.in_dll(
        board.ctypes.CDLL(str(next(tmp_path.glob("*.so")).absolute())), "pins"
    )
    assert seen.value == 2 ** (len(program.layers) + 1) - 1


# ---- float32 with soft floats


@pytest.mark.parametrize("name", MODELS)
def test_floats_in_c_are_literts(name, tmp_path):
    content, x = converted(name)["float32"], digits().test.images[:200]
    program = c_float.c_source(content, name)
    expected = runtime.Model(content).run(x)
    got = only(board.on_host(program, tmp_path).run({program.ends[0].of: x}))
    assert np.abs(got - expected).max() < 1e-5
    assert np.array_equal(got.argmax(axis=1), expected.argmax(axis=1))
    image, run = ran(program, board.CORTEX_M4, x[:1], tmp_path)
    assert np.abs(only(run.outputs) - expected[:1]).max() < 1e-5
    assert image.sizes["__aeabi_fmul"] > 0  # a product of floats is a call
    integers = c_source.c_source(converted(name)["int8"], name)
    _, other = ran(integers, board.CORTEX_M4, codes(converted(name)["int8"], 1), tmp_path)
    assert run.instructions > 10 * other.instructions


def without_a_number():
    model = reader.read(converted("ds_cnn")["float32"])
    dense = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    dense.data = np.full(len(dense.data) // 4, np.nan, np.float32).view(np.uint8)
    return reader.pack(model)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (without_a_number, "hold what is no number"),
        (lambda: converted("ds_cnn")["int8"], "takes or gives int8.*c_source"),
        (lambda: converted("ds_cnn")["float16"], "dtype FLOAT16"),
        (lambda: converted("ds_cnn")["dynamic_range"], "takes or gives int8"),
        (lambda: any_models.converted("binary"), "LOGISTIC has no function in C for floats"),
    ],
)
def test_what_has_no_floats_in_c(content, words):
    with pytest.raises(ModelFileError, match=words):
        c_float.c_source(content())


# ---- weights of four bits


@functools.cache
def four_bits(name):
    samples = calibration.representative_dataset(digits().calibration)
    return by_litert.quantize(converted(name)["float32"], "int8x4", samples)


@pytest.mark.parametrize("name", MODELS)
def test_four_bits_stay_packed_and_give_the_engines_integers(name, tmp_path):
    content = four_bits(name)
    program, x = c_source.c_source(content, name), codes(content, 500)
    expected = integer_engine.run(content, x, "tflm")
    assert np.array_equal(
        only(board.on_host(program, tmp_path).run({program.ends[0].of: x})), expected
    )
    for processor in board.BOARDS.values():
        image, run = ran(program, processor, x[:3], tmp_path)
        assert np.array_equal(only(run.outputs), expected[:3])
    dense = {"mnist_cnn": ("dense1", 64 * 800), "ds_cnn": ("block3_pointwise", 96 * 48)}[name]
    layer, weights = dense
    assert weights / 2 <= image.by_layer[layer] < 0.8 * weights


# ---- the arena


def head(content):
    """The first part of TFLite-Micro's arena, as it prints it itself."""
    interpreter = micro._run_once(content, keep=False)
    with quiet() as log:
        interpreter.print_allocations()
    return int(re.search(r"Arena allocation head (\d+) bytes", log.text)[1])


PLANNED = [(name, path) for name in MODELS for path in ("int8", "uint8")]


@needs_micro
@pytest.mark.parametrize(("name", "path"), PLANNED)
def test_the_plan_is_what_is_linked_and_tflite_micros_head(name, path, tmp_path):
    content = converted(name)[path]
    program = c_source.c_source(content)
    image = board.compile_for(program, board.CORTEX_M4, tmp_path)
    assert image.sizes["arena"] == c_source.plan(content).size == head(content)


def example(name):
    """An example of lesson 15 as int8; two of them, one with two inputs and two outputs."""
    ends = {"textures": ["image"], "fruit": ["picture", "sensors"]}[name]
    drawn = getattr(examples, name)(20)
    samples = [{end: drawn[end][row : row + 1] for end in ends} for row in range(20)]
    with tempfile.TemporaryDirectory() as folder:
        made = every_path.convert(examples.model(name), lambda: samples, folder, names=["int8"])
        return made["int8"].read_bytes()


@needs_micro
@pytest.mark.parametrize("name", ["textures", "fruit"])
def test_the_plan_is_tflite_micros_for_lesson_15s_models(name):
    content = kept(f"example_{name}", lambda: example(name))
    assert c_source.plan(content).size == head(content)


def test_of_equal_sizes_the_first_may_come_first():
    content = converted("ds_cnn")["int8"]
    usual, other = (c_source.plan(content, ties) for ties in ("last", "first"))
    assert other.size == other.at_once == usual.at_once < usual.size
    placed = [(place.name, place.offset) for place in other.places]
    with pytest.raises(InputError, match="expected 'first' or 'last'"):
        c_source.plan(content, ties="least")
    program = c_source.c_source(content, ties="first")
    assert [(place.name, place.offset) for place in program.plan.places] == placed


@pytest.mark.parametrize("processor", board.BOARDS)
def test_the_arena_of_a_model_of_two_small_steps_stays_in_one_piece(processor, tmp_path):
    """A compiler may divide an array of which only some places are read."""
    ends = [tensor(name, "INT8", (1, 6), 0.5, 0) for name in "xyz"]
    steps = [("RELU", None, [0], [1]), ("TANH", None, [0], [2])]
    ends[2][0].quantization.scale[0] = 1 / 128
    content = assemble(ends, steps, [0], [1, 2])
    program = c_source.c_source(content)
    image = board.compile_for(program, board.BOARDS[processor], tmp_path)
    assert image.sizes["arena"] == program.plan.size
    x = {"x": np.arange(-128, 124, dtype=np.int8).reshape(-1, 6)}
    found = board.emulate(image, x).outputs
    expected = integer_engine.run(content, x, "tflm")
    assert all(np.array_equal(found[end], expected[end]) for end in "yz")


def test_a_plan_by_hand():
    lives = [
        arena.Place("image", 0, 0, 784),
        arena.Place("conv", 0, 1, 1200),
        arena.Place("pool", 1, 2, 300),
        arena.Place("dense", 2, 2, 10),
    ]
    plan = arena.placed(lives)
    assert {p.name: p.offset for p in plan.places} == {
        "conv": 0, "image": 1200, "pool": 1200, "dense": 0,
    }  # fmt: skip
    assert plan.size == 1200 + 784 == plan.at_once


@pytest.mark.parametrize("processor", board.BOARDS)
@pytest.mark.parametrize(
    ("size", "words"),
    [(13_519, "writes byte 13,520 of an arena of 13,519: the plan"), (64, "of an arena of 64: ")],
)
def test_an_arena_too_small(processor, size, words, tmp_path):
    content = converted("mnist_cnn")["int8"]
    program = c_source.c_source(content, "start")  # a name as the start's own
    cut = board.with_arena(program, size)
    with pytest.raises(LessonError, match=words):
        ran(cut, board.BOARDS[processor], codes(content, 1), tmp_path)


@needs_micro
def test_tflite_micro_says_how_much_is_missing():
    from tflite_micro import runtime as tflm

    content = edit.only_signature(converted("mnist_cnn")["int8"])
    with quiet() as log, pytest.raises(RuntimeError, match="failed to allocate tensors"):
        tflm.Interpreter.from_bytes(content, arena_size=head(content) - 1)
    assert re.search(r"Requested: \d+, available \d+, missing: \d+", log.text)


def test_a_program_that_stops_is_named(tmp_path):
    content = converted("ds_cnn")["int8"]
    program = c_source.c_source(content, "ds_cnn")
    lost = program.source.replace("  return 0;", "  return *(volatile int *)0xF0000000;")
    with pytest.raises(LessonError, match=r"ds_cnn stops on the cortex-m4: .*UNMAPPED"):
        ran(replace(program, source=lost), board.CORTEX_M4, codes(content, 1), tmp_path)


# ---- figures


def test_the_figures_say_names_and_numbers():
    figure = plots.costs_by_layer({"conv": 900, "dense": 100}, {"conv": 10, "code": 30})
    texts = [text.get_text().strip() for axes in figure.axes for text in axes.texts]
    assert texts == ["900 (90%)", "100 (10%)", "10 (25%)", "30 (75%)"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "conv", "dense", "code",
    ]  # fmt: skip
    plan = c_source.plan(converted("ds_cnn")["int8"])
    (axes,) = plots.arena(plan).axes
    assert {text.get_text().split("\n")[0].split(" ")[0] for text in axes.texts} == {
        place.name.split(" ")[0] for place in plan.places
    }
    assert len(axes.patches) == len(plan.places)
