"""LiteRT's CompiledModel beside its interpreter: the same kernels, the same errors."""

import sys

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import any_models
import tiny_models
from lessons_lib import benchmark, compiled, reader, runtime, samples, sandbox
from lessons_lib.errors import InputError, ModelFileError
from reference import converted, digits
from runtimes import on_x86

# What each kernel mode computes, whatever it is called.
KERNELS_OF = {"xnnpack": "xnnpack", "builtin": "builtin", "reference": "builtin"}


def trusted(content: bytes, kernels: str) -> compiled.Model:
    """What was made here needs no child process, which takes seconds."""
    sandbox.trust(content, f"CompiledModel {kernels}")
    return compiled.Model(content, kernels=kernels)


def codes(content: bytes) -> np.ndarray:
    """A thousand clean digits and a thousand hard ones: where the reference kernels differ."""
    images = np.concatenate([digits().test.images, digits().hard.images])
    return runtime.Model(content).quantize_input(images)


@on_x86
@pytest.mark.parametrize("name", ["mnist_cnn", "ds_cnn"])
@pytest.mark.parametrize("kernels", compiled.MODES)
def test_its_reference_mode_gives_the_integers_of_the_builtin_kernels(name, kernels):
    content = converted(name)["int8"]
    x = codes(content)
    found = trusted(content, kernels).run(x)
    same = {
        other: np.array_equal(found, runtime.Model(content, kernels=other).run(x))
        for other in runtime.KERNELS
    }
    assert same == {other: other == KERNELS_OF[kernels] for other in runtime.KERNELS}


@pytest.mark.parametrize("path", ["float32", "dynamic_range", "float16", "uint8"])
def test_other_paths_answer_as_the_interpreter_does(path):
    content, images = converted()[path], digits().test.images[:20]
    expected = runtime.Model(content).predict(images)
    model = trusted(content, "xnnpack")
    assert model.predict(images) == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(model.classes(images), expected.argmax(axis=1))


MODELS = ("two_ends", "no_batch", "state", "scalar", "rank_1", "four_at_once", "other_rows")


@pytest.mark.parametrize("name", MODELS)
def test_any_model_takes_and_gives_arrays_by_name(name):
    content = any_models.converted(name)
    interpreter = runtime.Model(content)
    model = trusted(content, "xnnpack")
    for count in (5, 1):
        x = samples.drawn(model.signature, count)
        found, expected = model.run(x), interpreter.run(x)
        if not isinstance(expected, dict):
            found, expected = {"": found}, {"": expected}
        assert list(found) == list(expected)
        for output, array in expected.items():
            assert (found[output].shape, found[output].dtype) == (array.shape, array.dtype)
            assert found[output] == pytest.approx(array, abs=1e-6)


def test_what_it_does_not_take_is_named():
    with pytest.raises(ModelFileError, match=r"int16, and CompiledModel has no buffers.*runtime"):
        compiled.Model(converted()["int16x8"])
    with pytest.raises(ModelFileError, match=r"image: float32 \(\?, \?, \?, 3\) are open behind"):
        compiled.Model(any_models.converted("any_size"))


def test_the_dtypes_are_those_of_its_buffers():
    from ai_edge_litert.tensor_buffer import TensorBuffer

    kinds = ("float64", "int64", "uint64", "uint32", "int16", "uint16", *compiled.DTYPES)
    taken = set()
    for dtype in kinds:
        array = np.zeros(64, dtype)
        try:
            TensorBuffer.create_from_host_memory(array)
        except ValueError as error:
            assert "Unsupported dtype" in str(error)
        else:
            taken.add(dtype)
    assert taken == set(compiled.DTYPES)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 28, 28, 1), np.float32), "expected int8 input, got float32"),
        (np.zeros((2, 28, 28), np.int8), r"expected input of shape \(N, 28, 28, 1\)"),
        (np.zeros((0, 28, 28, 1), np.int8), "at least one"),
    ],
)
def test_inputs_are_checked_as_the_interpreter_checks_them(x, message):
    with pytest.raises(InputError, match=message):
        trusted(converted()["int8"], "xnnpack").run(x)


def test_batch_size_kernels_and_threads_are_checked():
    with pytest.raises(InputError, match="batch_size=0"):
        trusted(converted()["int8"], "xnnpack").run(np.zeros((1, 28, 28, 1), np.int8), 0)
    with pytest.raises(InputError, match="kernels='DELEGATE'; expected one of xnnpack"):
        compiled.Model(converted()["int8"], kernels="DELEGATE")
    with pytest.raises(InputError, match="num_threads=0"):
        compiled.Model(converted()["int8"], num_threads=0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_crashes_the_runtime_does_not_crash_the_caller():
    with pytest.raises(ModelFileError, match=r"the kernels 'CompiledModel xnnpack' .*SIGSEGV"):
        compiled.Model(tiny_models.endless_loop(converted()["int8"]))


def with_unknown_operator(content: bytes) -> bytes:
    model = reader.read(content)
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
            code.customCode = "MyOperator"
    return tiny_models.pack(model)


def test_what_the_runtime_lacks_is_said_in_its_own_words(capfd):
    with pytest.raises(ModelFileError, match=r"does not run this model: .*MyOperator.*lesson 07"):
        compiled.Model(with_unknown_operator(converted()["int8"]))
    assert capfd.readouterr() == ("", "")


def test_it_says_nothing_on_the_page(capfd):
    trusted(converted()["int8"], "xnnpack").predict(digits().test.images[:2])
    assert capfd.readouterr() == ("", "")


def test_latency_stands_beside_the_interpreters():
    content = converted()["int8"]
    models = {"interpreter": runtime.Model(content), "compiled": trusted(content, "xnnpack")}
    table = benchmark.latency(models, digits().test.images, rounds=20, warmup=2)
    assert list(table.index) == ["interpreter", "compiled"]
    assert (table["batch"] == 1).all()
    assert (table["median_us"] > 0).all()
