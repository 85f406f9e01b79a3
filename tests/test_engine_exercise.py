"""Whether the tests of ``exercises/engine.md`` are worth something, and its text true."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine_cases
from engine_slips import (
    FUNCTIONS,
    SLIPS,
    SOLUTION,
    STEPS,
    TEXT,
    example,
    judge,
    opened,
    section,
    step_of,
    wrong,
)
from lessons_lib import files, integer_engine, runtime
from reference import converted, digits


@pytest.fixture(autouse=True)
def kept_apart(artifacts):
    """The cases of step 8 that fail here are not kept among a learner's."""


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip.function}: {slip.says}")
def test_every_slip_fails_and_is_named(slip):
    said = verdict(wrong(slip), slip.function)
    assert f"A slip gives the same answers: {slip.says}." in said


def verdict(engine, name):
    """What a wrong engine is told, also where it ends in an error."""
    cases = engine_cases.cases(step_of(name), name)
    with pytest.raises((pytest.fail.Exception, ValueError)) as caught:
        judge(engine, name, lambda: cases)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def of(function):
    """An engine of one function."""
    return type("Engine", (), {function.__name__: staticmethod(function)})


def test_of_two_slips_one_is_named():
    slips = [slip for slip in SLIPS if slip.function == "fully_connected"]
    no_bias = next(slip for slip in slips if slip.says == "the bias is not added")
    in_8_bits = next(slip for slip in slips if "wraps around in 8 bits" in slip.says)

    def fully_connected(x, weights, bias, scales, zero_points, limits):
        return wrong(in_8_bits).fully_connected(x, weights, 0 * bias, scales, zero_points, limits)

    said = verdict(of(fully_connected), "fully_connected")
    assert re.search(r"No known slip gives all of the answers\. One gives \d+ of the wrong", said)
    assert f"also here: {no_bias.says}." in said or f"also here: {in_8_bits.says}." in said


def test_an_error_says_in_which_case():
    def accumulate(x, weights, bias, zero_point):
        if zero_point == 7:
            raise ValueError("seven")
        return opened(SOLUTION).accumulate(x, weights, bias, zero_point)

    said = verdict(of(accumulate), "accumulate")
    assert said.startswith(
        "seven\naccumulate: 1 of 41 cases are wrong. One of them (a large bias):"
    )
    assert "\nit ends in ValueError." in said


def test_what_returns_nothing_is_not_there_and_what_sometimes_does_is_wrong():
    def accumulate(x, weights, bias, zero_point): ...

    with pytest.raises(pytest.skip.Exception, match="step 2: accumulate is not there yet: it"):
        judge(of(accumulate), "accumulate", lambda: engine_cases.cases(2, "accumulate"))

    def requantize(total, *rule):
        return None if total.dtype == np.int32 else opened(SOLUTION).requantize(total, *rule)

    assert "the result is None." in verdict(of(requantize), "requantize")


def test_for_an_empty_file_no_cases_are_made():
    with pytest.raises(pytest.skip.Exception, match="step 8: run is not there yet"):
        judge(type("Engine", (), {}), "run", lambda: pytest.fail("cases are made"))


def test_a_case_of_step_8_is_kept():
    said = verdict(wrong(SLIPS[-1]), "run")
    (path,) = re.findall(r"Its file and its images: (.+\.tflite) and network_\d\.npy\.", said)
    images = np.load(path.removesuffix("tflite") + "npy")
    found = [(file, x) for _, (file, x), _ in engine_cases.cases(8, "run")]
    content = Path(path).read_bytes()
    assert any(file == content and np.array_equal(x, images) for file, x in found)


@pytest.mark.parametrize(("step", "name"), FUNCTIONS)
def test_answers_of_another_dtype_or_shape_fail(step, name):
    """The right numbers as floats of 64 bits, and with an axis too many."""
    cases = engine_cases.cases(step, name)
    right = getattr(opened(SOLUTION), name)
    for spoil, said in (
        (lambda found: np.asarray(found, np.float64), "the result is float64, expected"),
        (lambda found: np.asarray(found)[None], "the result has shape"),
    ):
        engine = type("Engine", (), {name: staticmethod(lambda *a, s=spoil: s(right(*a)))})
        with pytest.raises(pytest.fail.Exception, match=said):
            judge(engine, name, lambda: cases)


def test_the_solution_has_every_step():
    solution = opened(SOLUTION)
    assert [name for _, name in FUNCTIONS if not callable(getattr(solution, name, None))] == []
    source = SOLUTION.read_text("utf-8")
    assert "lessons_lib.run" not in source
    assert "integer_engine" not in source


@pytest.mark.parametrize("step", STEPS)
def test_the_text_of_each_step(step):
    """It shows each function's first line, an example with an answer, one hint, the command."""
    text, solution = section(step), opened(SOLUTION)
    for name in STEPS[step]:
        assert f"\ndef {name}{inspect.signature(getattr(solution, name))}:\n" in text
        assert f"{name}(" in example(step)
    assert len(re.findall(r"^(?!>>>|\.\.\.).", example(step), re.MULTILINE)) >= 1
    assert text.count("<details>") == text.count("</details>") == 1
    command = f".venv/bin/pytest tests/test_my_engine.py --engine my_engine.py -k step_{step}"
    assert f"```sh\n{command}\n```" in text


def test_the_text_has_eight_steps_and_whole_links():
    text = TEXT.read_text("utf-8")
    assert re.findall(r"^## Step (\d): ", text, re.MULTILINE) == [str(step) for step in STEPS]
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (TEXT.parent / link).exists()] == []


def test_the_networks_tell_something_and_the_librarys_engine_agrees():
    for what, (content, images), expected in engine_cases.cases(8, "run"):
        assert len(np.unique(expected)) > 5, what
        codes = runtime.Model(content, kernels="reference").quantize_input(images)
        assert np.array_equal(integer_engine.run(content, codes), expected), what


def test_the_file_that_the_text_makes_gives_the_digits_that_it_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(from .+?)```", section(8), re.DOTALL)
    space = {}
    exec(code, space)
    codes = opened(SOLUTION).run(space["content"], space["images"])
    assert f"\n{codes.argmax(axis=1)}\n" in example(8)


def test_the_text_lists_what_step_8_gives_its_functions():
    listed = ["| operator | weights, or size | scales | zero points | limits | moves |"]
    listed += ["|---|---|---|---|---|---|"]
    content, images = converted()["uint8"], digits().test.images[:1]
    listed += ["| " + " | ".join(cells) + " |" for cells in calls(content, images)]
    assert "\n".join(listed) in section(8)


def calls(content, images):
    """The cells of a line of the text's table, for each call that the solution makes."""
    engine, found = opened(SOLUTION), []

    def tell(name, cells):
        function = getattr(engine, name)

        def told(*arguments):
            found.append(cells(*arguments))
            return function(*arguments)

        setattr(engine, name, told)

    def joined(numbers):
        return ", ".join(f"{number:.3g}" for number in numbers)

    def layer(operator):
        def cells(x, weights, bias, scales, zero_points, limits, strides=(), padding=""):
            moves = f"{joined(strides)}, {padding}" if padding else ""
            ends = joined((scales[0][0], scales[2][0])), joined(zero_points), joined(limits)
            return operator, joined(weights.shape), *ends, moves

        return cells

    def rescaled(x, source, target):
        ends = (f"{joined(scale)} of {dtype}" for scale, _, dtype in (source, target))
        return "QUANTIZE", "", ", ".join(ends), joined((source[1], target[1])), "", ""

    def pool(x, size, strides, padding):
        return "MAX_POOL_2D", joined(size), "", "", "", f"{joined(strides)}, {padding}"

    tell("conv_2d", layer("CONV_2D"))
    tell("fully_connected", layer("FULLY_CONNECTED"))
    tell("max_pool_2d", pool)
    tell("softmax", lambda x, scale: ("SOFTMAX", "", joined([scale]), "", "", ""))
    tell("rescaled", rescaled)
    engine.run(content, images)
    return found


def asked(path, *more):
    """What a learner's pytest says."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-rs", "-p", "no:cacheprovider"]
    command += ["tests/test_my_engine.py", "--engine", str(path), *more]
    done = subprocess.run(command, cwd=files.ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_half_written_engine_is_told_what_is_missing_wrong_and_right(tmp_path):
    source = SOLUTION.read_text("utf-8").partition("# ---- step 5")[0]
    source = source.replace(
        "return np.clip(steps + zero_point, low, high)", "return steps + zero_point"
    )
    source += "\n\ndef fully_connected(*arguments):\n    raise NotImplementedError\n"
    mine = tmp_path / "my_engine.py"
    mine.write_text(source, "utf-8")
    code, said = asked(mine, "-k", "step_3 or step_4 or step_5")
    assert code == 1
    for sentence in (
        "step 5: fully_connected is not there yet",
        "the example of step 4:\nprint(requantize",
        "called with (",
        "A slip gives the same answers: it is not clipped to low..high.",
    ):
        assert sentence in said, said
    assert re.search(r"2 failed, 2 passed, 2 skipped", said), said


def test_a_file_that_is_not_there_is_named(tmp_path):
    code, said = asked(tmp_path / "none.py")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "--engine: there is no file" in said
